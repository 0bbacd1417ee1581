"""What breaking parts of the cluster costs: seconds until it is noticed and made good, requests lost, longest gap.

Docker's swarm mode balances published ports by IPVS. Where the kernel has none its tasks are asked on their own nodes,
each in turn and the broken one too until the managers hold it for down, as a balancer in front would that knows what
they know; ours are asked through the mesh of the nodes that are not broken. A row's `asked` says which.

`FAULT_SECONDS` is for how long the load lasts: 60, which an engine that takes long needs to make good; 30 do for ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.conditions import AT_REST, OperationFailed, is_running
from pytest_swarm.fault import Fault
from pytest_swarm.load import InvalidRun, Load
from pytest_swarm.load_settings import Targets
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.benchmarks.book import Book, print_past_capture
from tests.benchmarks.results import fault_table, table_of
from tests.cluster.conftest import COMMAND, IMAGE, swarm_images
from tests.cluster.faults.tasks import mesh_addresses, mesh_rules

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(600),
]
__all__ = ["swarm_images"]

RATE, SECONDS = 10.0, float(os.environ.get("FAULT_SECONDS", "60"))
REPLICAS = 4
GIVE_UP_SECONDS = 90.0
LIMIT_SECONDS = 120.0
LOST_MAX = RATE
"""Twice what one node of four should cost: what was in flight on it, at a second a request, and one second's share."""


@dataclasses.dataclass(frozen=True)
class Watched:
    """Seconds from the fault on."""

    noticed: float
    """By the managers."""
    left_out: float | None
    """When no other node's mesh begins a connection to the broken one any more; None where that is not known."""
    made_good: float
    """When all replicas run on what is left."""


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest, book: Book) -> Iterator[None]:
    """Printed after the last run."""
    yield
    print_past_capture(request.config, table_of(fault_table(book.written)))


@contextlib.contextmanager
def under_load(
    swarm: Cluster, load: Load, book: Book, name: str, broken: Sequence[Node]
) -> Iterator[tuple[Service, Callable[[Watched], None]]]:
    """Offer a service under load, and write down what the body says it has watched."""
    web = swarm.deploy(f"{IMAGE}:1", name="web", command=COMMAND, replicas=REPLICAS)
    has_mesh = swarm.engine.publish_mode() == "ingress"
    left = tuple(node.name for node in swarm.nodes if node not in broken)
    targets: Targets = left if has_mesh and left else "all-nodes"
    watched: list[Watched] = []
    run = load(
        web, rate=RATE, duration=SECONDS, targets=targets, connect_timeout=2.0, read_timeout=10.0, late_after=5.0
    )
    note = ""
    try:
        with run:
            yield web, watched.append
            swarm.heal()
            web.wait_converged(ends=AT_REST)
    except InvalidRun as error:
        # The figures stand beside the reason: an update that outlasts the load, say.
        note = str(error).splitlines()[0]
    assert watched
    for seen in watched:
        row = {
            "engine": swarm.engine.name,
            "fault": name,
            "asked": f"{','.join(left) or 'all'} by mesh" if has_mesh else "each task",
            **dataclasses.asdict(seen),
            "sent": run.ledger.sent,
            "lost": run.lost,
            "duplicates": run.duplicates,
            "gap": run.longest_gap,
            "valid": not note,
            "note": note,
        }
        book.add("faults", row)
    # The row is kept of a run that fails too: its figures are what it is to be told by.
    assert run.duplicates == 0, run.explain()
    if swarm.engine.name != "docker":
        assert not note
        if left:
            assert run.lost <= LOST_MAX, run.explain()


def seconds_until(swarm: Cluster, since: float, what: str, condition: Callable[[Any], bool]) -> float:
    """Ask the API until the condition holds of it; returns how many seconds after `since` that was."""
    from docker.errors import DockerException

    def look() -> Done[float] | NotYet:
        try:
            return Done(time.time() - since) if condition(swarm.api) else NotYet("not yet")
        except (DockerException, OSError) as error:
            return NotYet(str(error))

    return wait_until(look, what=what, timeout=GIVE_UP_SECONDS, interval=0.05)


def held_for_down(swarm: Cluster, broken: Node, fault: Fault) -> float:
    """Wait until the managers hold the node for down; returns how many seconds after the fault that was."""

    def condition(api: Any) -> bool:
        states = {each["Description"]["Hostname"]: each["Status"]["State"] for each in api.nodes()}
        return bool(states[broken.name] == "down")

    return seconds_until(swarm, fault.started, f"{fault.name} noticed", condition)


def runs_without(web: Service, broken: Node, replicas: int) -> Callable[[Any], bool]:
    """Whether so many tasks run on the other nodes."""

    def condition(api: Any) -> bool:
        tasks = api.tasks(filters={"service": web.id})
        broken_id = web.cluster.node_ids()[broken.name]
        elsewhere = [task for task in tasks if is_running(task) and task["NodeID"] != broken_id]
        return len(elsewhere) >= replicas

    return condition


def left_out(swarm: Cluster, broken: Node, fault: Fault, addresses: Sequence[str]) -> float | None:
    """Wait until no other node's mesh leads to these addresses; returns how many seconds after the fault that was."""
    if swarm.engine.name == "docker" or not addresses:
        return None

    def look() -> Done[float] | NotYet:
        for node in swarm.nodes:
            if node is not broken and any(f"dnat to {address}:" in mesh_rules(node) for address in addresses):
                return NotYet(f"{node.name} balances to it")
        return Done(time.time() - fault.started)

    return wait_until(look, what=f"{broken.name} to be left out", timeout=GIVE_UP_SECONDS, interval=0.05)


def watch(
    swarm: Cluster,
    web: Service,
    broken: Node,
    fault: Fault,
    noticed: Callable[[], float],
    addresses: Sequence[str],
) -> Watched:
    """Wait until the fault is noticed, which returns after how many seconds that was, and made good.

    `addresses` are those of the broken node's tasks in the mesh.
    """
    # A port of its own on each node leaves no place for a fourth task on three of them.
    replicas = REPLICAS if swarm.engine.publish_mode() == "ingress" else REPLICAS - 1
    made_good = runs_without(web, broken, replicas)

    with ThreadPoolExecutor(3) as pool:
        noticing = pool.submit(noticed)
        leaving_out = pool.submit(left_out, swarm, broken, fault, addresses)
        making_good = pool.submit(seconds_until, swarm, fault.started, f"{fault.name} made good", made_good)
        return Watched(noticing.result(), leaving_out.result(), making_good.result())


def test_a_worker_is_killed(swarm: Cluster, load: Load, book: Book) -> None:
    worker = swarm.nodes[-1]
    with under_load(swarm, load, book, "worker killed", [worker]) as (web, note):
        addresses = mesh_addresses(web, worker)
        fault = swarm.kill(worker, limit=LIMIT_SECONDS)
        note(watch(swarm, web, worker, fault, partial(held_for_down, swarm, worker, fault), addresses))


def test_the_leader_is_killed_during_an_update(swarm: Cluster, load: Load, book: Book) -> None:
    leader = swarm.leader
    with (
        under_load(swarm, load, book, "leader killed in update", [leader]) as (web, note),
        ThreadPoolExecutor(1) as pool,
    ):
        update = pool.submit(web.update, image=f"{IMAGE}:2")
        seconds_until(swarm, time.time(), "the first new task", lambda api: _runs_image(api, web, f"{IMAGE}:2"))
        addresses = mesh_addresses(web, leader)
        fault = swarm.kill(leader, limit=LIMIT_SECONDS)
        note(watch(swarm, web, leader, fault, partial(swarm.failover_seconds, fault, GIVE_UP_SECONDS), addresses))
        swarm.heal()
        try:
            update.result()
        except OperationFailed as error:
            # A new task that dies with the leader may count as the new version's failure.
            if swarm.engine.name != "docker":
                raise
            print(f"docker: {error}")  # noqa: T201


def _runs_image(api: Any, web: Service, image: str) -> bool:
    tasks = api.tasks(filters={"service": web.id, "desired-state": "running"})
    return any(
        task["Status"]["State"] == "running" and task["Spec"]["ContainerSpec"]["Image"].startswith(image)
        for task in tasks
    )


def test_a_follower_is_cut_off(swarm: Cluster, load: Load, book: Book) -> None:
    """The minority side has one manager that does not lead."""
    leader = swarm.leader
    follower = next(node for node in swarm.nodes[: swarm.managers] if node is not leader)
    with under_load(swarm, load, book, "minority cut off", [follower]) as (web, note):
        addresses = mesh_addresses(web, follower)
        fault = swarm.isolate(follower, limit=LIMIT_SECONDS)
        note(watch(swarm, web, follower, fault, partial(held_for_down, swarm, follower, fault), addresses))


def test_the_leader_is_cut_off(swarm: Cluster, load: Load, book: Book) -> None:
    """The majority is on the side without the leader."""
    leader = swarm.leader
    with under_load(swarm, load, book, "leader cut off", [leader]) as (web, note):
        addresses = mesh_addresses(web, leader)
        fault = swarm.isolate(leader, limit=LIMIT_SECONDS)
        note(watch(swarm, web, leader, fault, partial(swarm.failover_seconds, fault, GIVE_UP_SECONDS), addresses))


def test_all_nodes_are_killed_at_once(swarm: Cluster, load: Load, book: Book) -> None:
    with under_load(swarm, load, book, "all nodes restarted", swarm.nodes) as (web, note):
        faults = [swarm.kill(node, limit=LIMIT_SECONDS) for node in swarm.nodes]
        swarm.heal()
        web.wait_converged()
        seconds = time.time() - faults[0].started
        note(Watched(seconds, None, seconds))
