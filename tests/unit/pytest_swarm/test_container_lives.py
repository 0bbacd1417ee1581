"""When containers lived, those that no listing tells of any more included."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from pytest_swarm import container_lives
from pytest_swarm.container_lives import ContainerLives, epoch
from pytest_swarm.dns_ledger import Life
from pytest_swarm.waiting import Done, NotYet, wait_until

BORN = "2026-11-29T03:00:00.5Z"
DIED = "2026-11-29T03:01:00Z"


def shown(name: str, address: str, *, died: str = "") -> dict[str, Any]:
    return {
        "Id": name,
        "State": {"StartedAt": BORN, "FinishedAt": died or "0001-01-01T00:00:00Z", "Running": not died},
        "Config": {"Labels": {"com.docker.swarm.task.name": f"web.1.{name}"}},
        "NetworkSettings": {"Networks": {"webnet": {"IPAMConfig": {"IPv4Address": address}, "IPAddress": ""}}},
    }


class Engine:
    """One node's engine, with its containers, and its events as often as it is asked for them."""

    def __init__(self) -> None:
        self.present: dict[str, dict[str, Any]] = {}
        self.happened: list[dict[str, Any]] = []
        self.refusals: list[Exception] = []
        self.asked: list[tuple[str, float]] = []
        """The times from and to which events were asked for."""
        self.inspected: set[str] = set()
        self.name, self.is_killed, self.looked = "n1", False, 0
        api = SimpleNamespace(base_url="http://n1", api_version="1.45", get=self.events, inspect_container=self.inspect)
        self.client = SimpleNamespace(api=api, containers=SimpleNamespace(list=self.listed))

    @property
    def is_down(self) -> bool:
        self.looked += 1
        return self.is_killed

    def listed(self, *, all: bool, filters: dict[str, str], ignore_removed: bool) -> list[Any]:
        assert all
        assert ignore_removed
        assert filters == {"label": "com.docker.swarm.service.id=service"}
        return [SimpleNamespace(id=each["Id"], attrs=each) for each in self.present.values()]

    def events(self, url: str, *, params: dict[str, str], timeout: float) -> Any:
        assert url == "http://n1/v1.45/events"
        assert json.loads(params["filters"])["event"] == ["start", "die"]
        assert timeout > 0
        self.asked.append((params["since"], float(params["until"])))
        if self.refusals:
            raise self.refusals.pop()
        text = "".join(json.dumps(event) + "\n" for event in self.happened)
        return SimpleNamespace(raise_for_status=lambda: None, text=text)

    def inspect(self, name: str) -> dict[str, Any]:
        try:
            shown = self.present[name]
        except KeyError:
            raise NotFound(name) from None
        self.inspected.add(name)
        return shown

    def tell(self, action: str, name: str, at: float = 0.0) -> None:
        self.happened.append({"Action": action, "Actor": {"ID": name}, "timeNano": int(at * 1e9)})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(container_lives, "POLL_SECONDS", 0.01)
    return Engine()


def started(engine: Engine) -> ContainerLives:
    lives = ContainerLives([engine], "service")  # type: ignore[list-item]
    lives.start()
    return lives


def wait_for(condition: Callable[[], bool], what: str) -> None:
    wait_until(lambda: Done(None) if condition() else NotYet("not yet"), what=what, timeout=10.0, interval=0.01)


def test_what_is_there_is_told_by_the_listing(engine: Engine) -> None:
    engine.present = {"old": shown("old", "10.0.1.5", died=DIED), "new": shown("new", "10.0.1.6")}
    assert set(started(engine).finish()) == {
        Life("10.0.1.5", "web.1.old", epoch(BORN), epoch(DIED)),
        Life("10.0.1.6", "web.1.new", epoch(BORN)),
    }


def test_one_that_is_removed_meanwhile_is_remembered_with_its_end(engine: Engine) -> None:
    engine.present = {"old": shown("old", "10.0.1.5")}
    lives = started(engine)
    engine.present.clear()
    engine.tell("die", "old", at=1000.25)
    assert lives.finish() == (Life("10.0.1.5", "web.1.old", epoch(BORN), 1000.25),)


def test_one_that_only_lived_meanwhile_is_remembered(engine: Engine) -> None:
    lives = started(engine)
    engine.present = {"brief": shown("brief", "10.0.1.7")}
    engine.tell("start", "brief")
    wait_for(lambda: "brief" in engine.inspected, "the new container to be looked at")
    engine.present.clear()
    engine.tell("die", "brief", at=1000.0)
    engine.tell("start", "gone before anyone asked")
    assert lives.finish() == (Life("10.0.1.7", "web.1.brief", epoch(BORN), 1000.0),)


def test_an_error_misses_no_event(engine: Engine) -> None:
    engine.present = {"old": shown("old", "10.0.1.5")}
    engine.refusals = [APIError("no"), OSError("broken")]
    lives = started(engine)
    engine.tell("die", "old", at=1000.25)
    engine.present.clear()
    wait_for(lambda: len(engine.asked) >= 4, "answers after the refusals")
    (life,) = lives.finish()
    assert life.stopped == 1000.25
    assert len({since for since, _ in engine.asked}) == 1
    assert engine.asked == sorted(engine.asked)


def test_the_end_of_a_watch_does_not_pass_over_an_error(engine: Engine) -> None:
    lives = started(engine)
    lives.stop()
    engine.refusals = [OSError("broken")]
    with pytest.raises(OSError, match="broken"):
        lives.finish()


def test_a_node_that_cannot_be_listed_is_told_of(engine: Engine) -> None:
    broken = Engine()
    del broken.client.containers.list
    lives = ContainerLives([engine, broken], "service")  # type: ignore[list-item]
    with pytest.raises(AttributeError):
        lives.start()
    lives.stop()


def test_a_node_that_is_down_is_asked_for_no_events(engine: Engine) -> None:
    engine.is_killed = True
    lives = started(engine)
    wait_for(lambda: engine.looked > 1, "a look at the node")
    lives.stop()
    assert engine.asked == []


def test_a_container_that_never_started_has_no_life(engine: Engine) -> None:
    engine.present = {"new": shown("new", "10.0.1.6")}
    engine.present["new"]["State"]["StartedAt"] = "0001-01-01T00:00:00Z"
    assert started(engine).finish() == ()
