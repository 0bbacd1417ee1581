"""A load is open or closed, and Locust is told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_swarm.load_settings import BadLoad, LoadSettings, foreign_command, locust_command, settle


def command(**words: Any) -> list[str]:
    return locust_command(settle(words), "load1", "/files/targets", "control:80", "/files", "/results")


def test_a_closed_load_is_the_default() -> None:
    assert settle({}) == LoadSettings(users=10, requests=500)
    assert settle({"users": 3, "requests": 7}).warm_up == 3
    assert settle({"users": 3, "requests": 2}).warm_up == 2


@pytest.mark.parametrize(("rate", "duration", "requests"), [(20, 30, 600), (0.1, 30, 3), (3, 0.5, 2), (0.1, 1, 1)])
def test_an_open_load_has_a_request_for_each_interval(rate: float, duration: float, requests: int) -> None:
    settings = settle({"rate": rate, "duration": duration})

    assert (settings.users, settings.requests) == (0, requests)
    assert settings.deadline == duration + settings.late_after


def test_an_open_load_runs_after_a_second_s_worth_of_requests() -> None:
    assert settle({"rate": 20, "duration": 30}).warm_up == 20
    assert settle({"rate": 0.5, "duration": 30}).warm_up == 1
    assert settle({"rate": 20, "duration": 0.5}).warm_up == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"rate": 20, "duration": 30, "users": 10}, "open load, users and requests a closed one: leave out users, or"),
        ({"rate": 20, "duration": 30, "users": 1, "requests": 2}, "leave out users and requests, or rate and duration"),
        ({"rate": 20, "duration": 30, "deadline": 9}, "leave out deadline"),
        ({"rate": 20}, "needs a rate and a duration above 0, not rate=20, duration=None"),
        ({"duration": 30}, "needs a rate and a duration above 0, not rate=None, duration=30"),
        ({"rate": 0, "duration": 30}, "needs a rate and a duration above 0, not rate=0, duration=30"),
        ({"rate": -1, "duration": 30}, "not rate=-1, duration=30"),
        (
            {"body_seconds": 2.0},
            "only a POST carries a body: add method='POST', or leave out body_bytes and body_seconds",
        ),
        (
            {"locustfile": "f.py", "duration": 9, "path": "/"},
            "a locustfile of your own says itself what it sends: .* path",
        ),
        ({"locustfile": "f.py"}, "a locustfile needs a duration above 0, not duration=None"),
        ({"user": 3}, "a load has no setting 'user'; it has users, requests, rate, "),
    ],
)
def test_what_makes_no_load_is_said(words: dict[str, Any], message: str) -> None:
    with pytest.raises(BadLoad, match=message):
        settle(words)


def test_each_kind_has_its_locust_file() -> None:
    closed, opened = command(users=3, requests=9), command(rate=20, duration=2)

    assert "/files/workloads/locustfiles/single_shot.py" in closed
    assert closed[closed.index("-u") + 1] == "3"
    assert "--rate" not in closed
    assert "/files/workloads/locustfiles/open_schedule.py" in opened
    assert opened[opened.index("-u") + 1] == "1"
    assert opened[opened.index("--rate") + 1] == "20"
    assert "--failure-pause" not in opened


def test_a_locust_file_of_one_s_own_runs_beside_our_observer() -> None:
    settings = settle({"locustfile": "load/theirs.py", "users": 3, "duration": 12.5, "read_timeout": 4})
    theirs = foreign_command(settings, "n1:80", "/user/theirs.py", "/files", "/results")

    assert settings.locustfile == Path("load/theirs.py")
    assert theirs[theirs.index("-f") + 1] == "/user/theirs.py,/files/workloads/locustfiles/observed.py"
    assert theirs[theirs.index("--host") + 1] == "http://n1:80"
    assert theirs[theirs.index("--run-time") + 1] == "13s"
    assert theirs[theirs.index("--stop-timeout") + 1] == "4s"
