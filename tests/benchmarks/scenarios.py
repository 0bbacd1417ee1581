"""The matrix: what is done to a service, of what kind, under which traffic. Pure.

The short form is chosen by hand: every value of every dimension occurs in it, and every upstream issue that can be
reproduced on this kernel. The full form covers every pair of values (allpairspy), for the whole product has more than
a million cells of half a minute each.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Literal

from allpairspy import AllPairs

Order = Literal["stop-first", "start-first"]


class Event(StrEnum):
    """What happens to the service while the load runs."""

    UPDATE = "update"
    SCALE_UP = "scale up"
    SCALE_DOWN = "scale down"
    DRAIN = "drain"
    NETWORK = "network change"
    TASK_KILLED = "task killed"
    WORKER_KILLED = "worker killed"
    LEADER_KILLED = "leader killed"
    ENGINE_KILLED = "engine killed"


class Traffic(StrEnum):
    """How a client asks."""

    FRESH = "connection per request"
    KEEP_ALIVE = "keep-alive"
    POST = "POST"
    STREAMING = "streaming"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One cell. Times are seconds; `grace` None is the engine's own default of 10."""

    event: Event = Event.UPDATE
    order: Order = "stop-first"
    parallelism: int = 1
    delay: float = 0.0
    grace: float | None = None
    healthcheck: bool = False
    graceful: bool = False
    listens_after: float = 0.0
    answers_after: float = 1.0
    traffic: Traffic = Traffic.FRESH
    replicas: int = 3
    issue: str = ""
    """The upstream issue (moby/moby) that it reproduces."""

    @property
    def name(self) -> str:
        """What differs from the article's case, in words."""
        words = [str(self.event)]
        words += [word for word, is_notable in self._notable() if is_notable]
        return ", ".join(words)

    def _notable(self) -> Iterator[tuple[str, bool]]:
        yield self.order, self.order != "stop-first"
        yield f"parallelism {self.parallelism}", self.parallelism != 1
        yield f"delay {self.delay:g} s", self.delay != 0
        yield f"grace {self.grace or 0:g} s", self.grace is not None
        yield "healthcheck", self.healthcheck
        yield "finishes in flight", self.graceful
        yield f"listens after {self.listens_after:g} s", self.listens_after != 0
        yield f"answers after {self.answers_after:g} s", self.answers_after != 1
        yield str(self.traffic), self.traffic is not Traffic.FRESH
        yield f"drain timeout {self.drain_timeout or 0:g} s", self.drain_timeout is not None
        yield f"{self.replicas} replicas", self.replicas != 3

    @property
    def users(self) -> int:
        """More where requests are slow, for each sends its next one when the last has ended."""
        return 10 if self.answers_after <= 1 else 30

    @property
    def requests(self) -> int:
        """Enough to outlast the event."""
        return self.users * max(2, math.ceil(self._expected_seconds / max(self.answers_after, 0.1)))

    @property
    def drain_timeout(self) -> float | None:
        """How long open connections may hold a task of ours; None is the default of 60.

        These clients never let go of one while a request is due: then it is this that ends the wait for each task, and
        whoever has such clients sets it to little more than the longest request.
        """
        return 3.0 + math.ceil(self.answers_after) if self.traffic is Traffic.KEEP_ALIVE else None

    @property
    def _expected_seconds(self) -> float:
        seconds = 8.0 + 2 * self.answers_after
        rounds = 1
        if self.event in (Event.UPDATE, Event.LEADER_KILLED, Event.NETWORK):
            rounds = -(-self.replicas // self.parallelism)
            seconds += rounds * (3.5 + self.delay + self.listens_after + 1.5 * self.answers_after)
        seconds += rounds * (self.drain_timeout or 0.0)
        return seconds + _FAULT_SECONDS.get(self.event, 5.0)


_FAULT_SECONDS = {Event.WORKER_KILLED: 15.0, Event.ENGINE_KILLED: 10.0, Event.LEADER_KILLED: 40.0}

SHORT = (
    Scenario(),
    Scenario(order="start-first", issue="38841"),
    Scenario(listens_after=0.2, issue="30321"),
    Scenario(listens_after=1.0, parallelism=3),
    Scenario(answers_after=5.0, grace=2.0, issue="30321"),
    Scenario(replicas=1, order="start-first", issue="29148"),
    Scenario(traffic=Traffic.KEEP_ALIVE, answers_after=0.1, graceful=True, issue="26672"),
    Scenario(traffic=Traffic.POST, healthcheck=True, listens_after=5.0, replicas=1, order="start-first"),
    Scenario(traffic=Traffic.STREAMING, delay=2.0, issue="44815"),
    Scenario(event=Event.SCALE_UP, listens_after=1.0, replicas=2, issue="41896"),
    Scenario(event=Event.SCALE_DOWN, answers_after=5.0, issue="24531"),
    Scenario(event=Event.DRAIN, issue="34139"),
    Scenario(event=Event.NETWORK),
    Scenario(event=Event.TASK_KILLED),
    Scenario(event=Event.WORKER_KILLED),
    Scenario(event=Event.LEADER_KILLED, issue="34111"),
    Scenario(event=Event.ENGINE_KILLED),
    Scenario(replicas=10, parallelism=3, issue="41896"),
    Scenario(answers_after=15.0, order="start-first", replicas=1),
)


def full() -> tuple[Scenario, ...]:
    """The short form, and scenarios that cover every pair of values."""
    dimensions = {
        "event": list(Event),
        "order": ["stop-first", "start-first"],
        "parallelism": [1, 3],
        "delay": [0.0, 2.0],
        "grace": [None, 2.0],
        "healthcheck": [False, True],
        "graceful": [False, True],
        "listens_after": [0.0, 0.2, 1.0, 5.0],
        "answers_after": [0.1, 1.0, 5.0, 15.0],
        "traffic": list(Traffic),
        "replicas": [1, 3, 10],
    }
    rows = AllPairs(list(dimensions.values()))
    pairs = [Scenario(**dict(zip(dimensions, row, strict=True))) for row in rows]
    return tuple(dict.fromkeys([*SHORT, *pairs]))


def unable(engine: str, nodes: int, has_mesh: bool, scenario: Scenario) -> str:
    """Why this engine cannot run the scenario here; empty when it can."""
    if has_mesh:
        return ""
    tasks = scenario.replicas * (2 if scenario.event is Event.SCALE_UP else 1)
    if tasks > nodes:
        return f"{engine}: without IPVS each task needs a host port of its own: {tasks} on {nodes} nodes"
    if scenario.order == "start-first" and scenario.replicas > nodes - 1:
        return f"{engine}: without IPVS a new task needs a node whose host port is free"
    if scenario.event is Event.SCALE_UP and 2 * scenario.replicas > nodes:
        return (
            f"{engine}: without IPVS each task needs a host port of its own: {2 * scenario.replicas} on {nodes} nodes"
        )
    return ""
