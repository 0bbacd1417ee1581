"""A fabricated rolling update for the tests of the report: three tasks on three nodes, each replaced under load."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from pytest_swarm.boot import BootTimes
from pytest_swarm.budget import Budget
from pytest_swarm.guards import Control
from pytest_swarm.ledger import ClientRecord, Ledger, ServerEvent, balance
from pytest_swarm.load import LoadRun
from pytest_swarm.options import resolve
from pytest_swarm.phases import Operation, Replacement, split_into_phases
from pytest_swarm.progress import Progress
from pytest_swarm.service_spec import update_policy
from pytest_swarm.session import Session
from tests.unit.pytest_swarm.books import record

STARTED = 1_700_000_000.0
_TASK_ID = "k3id8cs7epkf7pm1wfsp41ea"


def update_within(seconds: float) -> Operation:
    """An update in the middle third of a run of this length, one slot after the other."""
    started, each = STARTED + seconds / 3, seconds / 9
    slots = (Replacement(f"slot {n}", started + (n - 1) * each, started + n * each) for n in (1, 2, 3))
    return Operation("update", started, started + 3 * each, tuple(slots), ("web:1", "web:2"))


def books(
    requests: int, fates: Mapping[int, str] | None = None, *, users: int = 10, seconds: float = 1.0, detail: str = "EOF"
) -> tuple[Ledger, Operation]:
    """A closed load whose requests take `seconds` each; `fates` names what is not answered, by number from 1."""
    length = requests / users * seconds
    update = update_within(length)
    records, events = [], []
    for number in range(1, requests + 1):
        at = STARTED + ((number - 1) // users + (number - 1) % users / users) * seconds
        one = _request(number, (fates or {}).get(number, "answered"), at, seconds, update, detail)
        records.append(one)
        events += list(_service_log(one, number % 3, update))
        if fates and fates.get(number) == "duplicate":
            events.append(dataclasses.replace(events[-1], time=one.finished - 0.002, node="n4"))
    phases = split_into_phases(STARTED, max(each.finished for each in records), [update])
    return balance(records, events, phases, requests), update


def _request(number: int, fate: str, at: float, seconds: float, update: Operation, detail: str) -> ClientRecord:
    version = "2" if at >= update.replacements[number % 3].started else "1"
    client_fate = "answered" if fate == "duplicate" else fate
    one = record(number, client_fate, at=at, seconds=seconds * 0.95, version=version)
    return dataclasses.replace(
        one,
        status=200 if client_fate == "answered" else None,
        target=f"198.18.0.{number % 4 + 1}:8080",
        detail=None if client_fate == "answered" else detail,
    )


def _service_log(one: ClientRecord, slot: int, update: Operation) -> Iterator[ServerEvent]:
    if one.request_class in ("refused", "unsent"):
        return
    task = f"web.{slot + 1}.{'n' if one.scheduled >= update.replacements[slot].started else 'o'}{_TASK_ID}"
    yield ServerEvent("received", one.request_id, one.scheduled + 0.001, task, f"n{slot + 1}")
    if one.request_class == "answered":
        yield ServerEvent("finished", one.request_id, one.finished - 0.001, task, f"n{slot + 1}")


def load_run(
    ledger: Ledger, operations: Sequence[Operation], *, name: str = "load1", budget: str = "lost=0"
) -> LoadRun:
    """A run that has ended, as far as the report reads it."""
    service = SimpleNamespace(deployment=SimpleNamespace(image="shop:1", replicas=3))
    verdicts = (Budget.parse(budget) if budget else Budget()).judge(ledger)
    run = SimpleNamespace(
        scenario="test_shop.py::test_update[stop-first]",
        name=name,
        cluster=cluster_of("orchestrator"),
        location=("tests/test_shop.py", 7),
        has_ended=True,
        ledger=ledger,
        verdicts=verdicts,
        broken=[verdict for verdict in verdicts if not verdict.is_kept],
        violations=[],
        unproven=[],
        control=Control(asked=40, failed=0, slowest=0.01),
        service=service,
        policy=update_policy({"UpdateConfig": {"Parallelism": 1, "Order": "stop-first"}}),
        settings=SimpleNamespace(users=10, rate=None),
        operations=list(operations),
        update_seconds=sum(operation.seconds for operation in operations),
        explain=lambda: "the story",
    )
    return cast(LoadRun, cast(Any, run))


def session_of(*runs: LoadRun) -> Session:
    """A session of a four-node cluster with these runs."""
    options = resolve(lambda name: None, {}, lambda name: None)
    return Session(options, Progress(None), clusters={"orchestrator": cluster_of("orchestrator")}, runs=list(runs))


def cluster_of(engine: str) -> Any:
    """A cluster of four nodes, as far as the report reads it."""
    times = BootTimes(1.0, 2.0, 1.0, 0.5)
    return SimpleNamespace(
        engine=SimpleNamespace(name=engine), nodes=[None] * 4, managers=3, boot_times=times, docker_version="26.1.5"
    )
