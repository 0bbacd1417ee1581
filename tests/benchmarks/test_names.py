"""What tasks on every node are told of a service's tasks while these change, by each engine.

The tasks end at once when told to: how long before that their names are withdrawn is all the warning a client has.

pytest --swarm-nodes=4 --swarm-engine=orchestrator,docker --swarm-repeat=3 -m benchmark tests/benchmarks/test_names.py
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.conditions import is_running
from pytest_swarm.dns_ledger import DnsLedger, Life, Sample, Span, balance
from pytest_swarm.dns_watch import LINGER_SECONDS
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.benchmarks.book import Book, print_past_capture
from tests.benchmarks.results import names_table, table_of
from tests.cluster.conftest import IMAGE, overlay_network

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(300),
]

FIGURES = (
    "samples", "stale_seconds", "stale_answers", "wrong_answers", "incomplete_answers", "gaps", "longest_gap",
    "shortest_warning",
)  # fmt: skip
CHANGE_SECONDS = 90.0
LIMIT_SECONDS = 120.0
Deploy = Callable[..., Service]


@pytest.fixture(scope="module")
def webnet(request: pytest.FixtureRequest, swarm: Cluster) -> Iterator[str]:
    with overlay_network(request, swarm, "webnet") as name:
        yield name


@pytest.fixture
def web(deploy: Deploy, webnet: str) -> Callable[..., Service]:
    """Deploys a service without a virtual address, which not every kernel can give Docker's swarm mode."""

    def deploy_named(replicas: int, **arguments: str | int) -> Service:
        return deploy(replicas=replicas, publish={}, networks=[webnet], endpoint_mode="dnsrr", **arguments)

    return deploy_named


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest, book: Book) -> Iterator[None]:
    """Printed after the last run."""
    yield
    print_past_capture(request.config, table_of(names_table(book.written)))


class Told(Protocol):
    """What the watchers were told, and what it is held against: a DnsWatch that has ended, or a part of one."""

    @property
    def samples(self) -> Sequence[Sample]: ...

    @property
    def lives(self) -> Sequence[Life]: ...

    @property
    def ledger(self) -> DnsLedger: ...


@dataclasses.dataclass(frozen=True)
class PartTold:
    """What some watchers were told for some time."""

    samples: Sequence[Sample]
    lives: Sequence[Life]
    span: Span

    @property
    def ledger(self) -> DnsLedger:
        return balance(self.samples, self.lives, span=self.span)


def write_down(book: Book, swarm: Cluster, change: str, told: Told, began: float) -> None:
    """Keep what the watchers were told; `began` is when the change did, in seconds since the epoch."""
    ledger = told.ledger
    last_changes = [each.last_change or 0.0 for each in ledger.by_watcher.values()]
    assert min(last_changes) > began, ledger.explain()
    row = {
        "engine": swarm.engine.name,
        "change": change,
        "ttl": max(sample.ttl for sample in told.samples),
        "settled": max(last_changes) - began if is_settled(told) else None,
    }
    book.add("names", row | {figure: getattr(ledger, figure) for figure in FIGURES})
    print(f"{swarm.engine.name}, {change}: {ledger.explain()}")  # noqa: T201


def is_settled(told: Told) -> bool:
    """Whether in the end every watcher is told of all the containers that live, and of no other."""
    last = {sample.watcher: set(sample.addresses) for sample in sorted(told.samples, key=lambda sample: sample.asked)}
    alive = {life.address for life in told.lives if life.stopped is None}
    return all(addresses == alive for addresses in last.values())


def nothing_was_wrong(swarm: Cluster, ledger: DnsLedger) -> None:
    """Hold ours to its promise for planned changes; Docker's figures are what they are."""
    if swarm.engine.name == "orchestrator":
        faults = (ledger.stale_answers, ledger.wrong_answers, ledger.incomplete_answers, ledger.gaps)
        assert faults == (0, 0, 0, 0), ledger.explain()


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_ten_tasks_are_updated(swarm: Cluster, book: Book, webnet: str, web: Deploy, order: str) -> None:
    service = web(10, parallelism=2, order=order)
    with swarm.dns(service, "tasks.web", network=webnet) as watch:
        began = time.time()
        service.update(image=f"{IMAGE}:2")
    write_down(book, swarm, f"update of 10 tasks, {order}", watch, began)
    nothing_was_wrong(swarm, watch.ledger)


@pytest.mark.parametrize(("before", "after"), [(6, 3), (3, 6)])
def test_a_service_is_scaled(swarm: Cluster, book: Book, webnet: str, web: Deploy, before: int, after: int) -> None:
    service = web(before)
    with swarm.dns(service, "tasks.web", network=webnet) as watch:
        began = time.time()
        service.scale(after)
    write_down(book, swarm, f"scale {before} to {after}", watch, began)
    nothing_was_wrong(swarm, watch.ledger)


def test_a_task_is_killed(swarm: Cluster, book: Book, webnet: str, web: Deploy) -> None:
    """Until its replacement is named, which waits for the restart delay, by default 5 s."""
    service = web(6)
    task = service.tasks()[0]
    container = swarm.node_of(task).client.containers.get(task["Status"]["ContainerStatus"]["ContainerID"])
    with swarm.dns(service, "tasks.web", network=webnet) as watch:
        began = time.time()
        container.kill()
        wait_until(lambda: _runs_without(service, {task["ID"]}, 6), what="a replacement", timeout=CHANGE_SECONDS)
    write_down(book, swarm, "task killed", watch, began)


def test_a_node_is_killed(swarm: Cluster, book: Book, webnet: str, web: Deploy) -> None:
    """What the other nodes are told. When its containers ended only the fault knows."""
    service = web(6)
    broken = swarm.nodes[-1]
    there = {task["ID"] for task in service.tasks() if swarm.node_of(task) is broken}
    assert there
    with swarm.dns(service, "tasks.web", network=webnet) as watch:
        fault = swarm.kill(broken, limit=LIMIT_SECONDS)
        wait_until(lambda: _runs_without(service, there, 6), what="replacements", timeout=CHANGE_SECONDS)
        # As a watch does after every other change.
        time.sleep(LINGER_SECONDS)
        healed = time.time()
        swarm.heal()
        service.wait_converged()
    lives = [
        dataclasses.replace(life, stopped=fault.started) if life.owner.rpartition(".")[2] in there else life
        for life in watch.lives
    ]
    samples = [sample for sample in watch.samples if sample.watcher != broken.name and sample.answered < healed]
    others = tuple(node.name for node in swarm.nodes if node is not broken)
    told = PartTold(samples, lives, Span(others, fault.started, healed))
    write_down(book, swarm, "node killed", told, fault.started)


def _runs_without(service: Service, gone: set[str], replicas: int) -> Done[None] | NotYet:
    running = [task for task in service.tasks() if is_running(task) and task["ID"] not in gone]
    return Done(None) if len(running) == replicas else NotYet(f"{len(running)} run")
