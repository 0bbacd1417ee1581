"""When containers lived, those that no listing tells of any more included."""

from __future__ import annotations

from collections.abc import Iterator
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
    """One node's engine, with its containers and its events."""

    def __init__(self) -> None:
        self.present: dict[str, dict[str, Any]] = {}
        self.happened: list[dict[str, Any]] = []
        self.refusals: list[Exception] = []
        self.asked: list[tuple[float, float]] = []
        self.name, self.is_down = "n1", False
        api = SimpleNamespace(events=self.events, inspect_container=self.inspect)
        self.client = SimpleNamespace(api=api, containers=SimpleNamespace(list=self.listed))

    def listed(self, *, all: bool, filters: dict[str, str], ignore_removed: bool) -> list[Any]:
        assert all
        assert ignore_removed
        assert filters == {"label": "com.docker.swarm.service.id=service"}
        return [SimpleNamespace(id=each["Id"], attrs=each) for each in self.present.values()]

    def events(self, *, since: float, until: float, filters: Any, decode: bool) -> Iterator[dict[str, Any]]:
        assert decode
        assert filters["event"] == ["start", "die"]
        if self.refusals:
            raise self.refusals.pop()
        self.asked.append((since, until))
        told, self.happened = self.happened, []
        return iter(told)

    def inspect(self, name: str) -> dict[str, Any]:
        try:
            return self.present[name]
        except KeyError:
            raise NotFound(name) from None

    def tell(self, action: str, name: str, at: float = 0.0) -> None:
        self.happened.append({"Action": action, "Actor": {"ID": name}, "timeNano": int(at * 1e9)})

    def has_told_all(self) -> Done[None] | NotYet:
        return NotYet("not all is told") if self.happened else Done(None)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(container_lives, "POLL_SECONDS", 0.01)
    return Engine()


def started(engine: Engine) -> ContainerLives:
    lives = ContainerLives([engine], "service")  # type: ignore[list-item]
    lives.start()
    return lives


def wait_told(engine: Engine) -> None:
    wait_until(engine.has_told_all, what="the events to be read", timeout=10.0, interval=0.01)


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
    wait_told(engine)
    engine.present.clear()
    engine.tell("die", "brief", at=1000.0)
    engine.tell("start", "gone before anyone asked")
    assert lives.finish() == (Life("10.0.1.7", "web.1.brief", epoch(BORN), 1000.0),)


def test_events_missed_by_an_error_are_asked_for_again(engine: Engine) -> None:
    engine.refusals = [APIError("no"), OSError("broken")]
    lives = started(engine)
    wait_until(lambda: NotYet("") if len(engine.asked) < 2 else Done(None), what="answers", timeout=10.0)
    lives.finish()
    assert not engine.refusals
    assert all(before[1] == after[0] for before, after in zip(engine.asked, engine.asked[1:], strict=False))


def test_a_node_that_is_down_is_not_asked(engine: Engine) -> None:
    engine.is_down = True
    lives = started(engine)
    lives.finish()
    assert engine.asked == []


def test_a_container_that_never_started_has_no_life(engine: Engine) -> None:
    engine.present = {"new": shown("new", "10.0.1.6")}
    engine.present["new"]["State"]["StartedAt"] = "0001-01-01T00:00:00Z"
    assert started(engine).finish() == ()
