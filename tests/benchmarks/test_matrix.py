"""The correctness matrix: what each engine loses in each scenario. `make bench`, or with BENCH=full all pairs."""

from __future__ import annotations

import contextlib
import os
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.conditions import is_running
from pytest_swarm.engine_client import SERVICE_LABEL
from pytest_swarm.ledger import LOST_CLASSES
from pytest_swarm.load import InvalidRun, Load, LoadRun
from pytest_swarm.service import Service
from pytest_swarm.service_spec import Healthcheck
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.benchmarks.book import Book
from tests.benchmarks.scenarios import SHORT, Event, Scenario, Traffic, full, unable
from tests.cluster.command_line import update_and_wait
from tests.cluster.conftest import COMMAND, IMAGE

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(420),
]

IS_FULL = os.environ.get("BENCH") == "full"
SCENARIOS = full() if IS_FULL else SHORT
RUNS = int(os.environ.get("BENCH_RUNS", "3" if IS_FULL else "1"))
CHECK = Healthcheck(test=["CMD", "/docker-swarm-test", "--check"], interval=0.5, retries=3, start_period=30.0)
NETWORK = "bench"
REPLACED_SECONDS = 60.0
FAULT_SECONDS = 90.0


@pytest.mark.parametrize("number", range(1, RUNS + 1))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name.replace(", ", "+"))
def test_what_is_lost(swarm: Cluster, load: Load, book: Book, scenario: Scenario, number: int) -> None:
    has_mesh = swarm.engine.publish_mode() == "ingress"
    row: dict[str, Any] = {
        "engine": swarm.engine.name,
        "scenario": scenario.name,
        "issue": scenario.issue,
        "run": number,
        "mesh": has_mesh,
    }
    reason = unable(swarm.engine.name, len(swarm.nodes), has_mesh, scenario)
    if reason:
        book.add("matrix", {**row, "unable": reason})
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        if scenario.event is Event.NETWORK:
            stack.enter_context(overlay(swarm))
        run, note = drive(swarm, load, scenario)
    if not run.has_ended:
        book.add("matrix", {**row, "unable": note})
        pytest.fail(note)
    book.add("matrix", {**row, **figures(run), "note": note})


def figures(run: LoadRun) -> dict[str, Any]:
    """What a row says of a load; times are seconds."""
    ledger = run.ledger
    return {
        "sent": ledger.sent,
        "answered": ledger.counts["answered"],
        "lost": ledger.lost,
        "classes": {name: ledger.counts[name] for name in (*LOST_CLASSES, "duplicate")},
        "gap": ledger.longest_gap,
        "p50": ledger.percentile(50),
        "p99": ledger.percentile(99),
        "change": run.update_seconds,
        "valid": not run.violations,
    }


def drive(swarm: Cluster, load: Load, scenario: Scenario) -> tuple[LoadRun, str]:
    """Run the scenario; returns its load, and what is to be said of it: why it is invalid, or what went wrong."""
    web = swarm.deploy(
        f"{IMAGE}:1",
        name="web",
        command=COMMAND,
        replicas=scenario.replicas,
        order=scenario.order,
        parallelism=scenario.parallelism,
        delay=scenario.delay,
        stop_grace_period=scenario.grace,
        healthcheck=CHECK if scenario.healthcheck else None,
        labels={} if scenario.drain_timeout is None else {"swarm.drain-timeout": f"{scenario.drain_timeout:g}s"},
        env={
            "BOOT_SECONDS": str(scenario.listens_after),
            "BLOCK_SECONDS": str(scenario.answers_after),
            "GRACEFUL": "1" if scenario.graceful else "",
        },
    )
    # Docker's own does not wait for that: the load begins with a service that listens.
    listening(swarm, web)
    broken = broken_node(swarm, web, scenario)
    left = tuple(node.name for node in swarm.nodes if node.name != broken)
    run = load(
        web,
        users=scenario.users,
        requests=scenario.requests,
        targets=left if broken else "all-nodes",
        connect_timeout=2.0,
        **shape(scenario.traffic),
    )
    note = ""
    try:
        with run:
            happen(swarm, web, scenario, broken)
    except InvalidRun as error:
        note = str(error)
    return run, note


def shape(traffic: Traffic) -> dict[str, Any]:
    """The settings of a load that make this traffic."""
    settings: dict[Traffic, dict[str, Any]] = {
        Traffic.FRESH: {},
        Traffic.KEEP_ALIVE: {"keep_alive": True},
        Traffic.POST: {"method": "POST", "body_bytes": 1000},
        Traffic.STREAMING: {"path": "/stream"},
    }
    return settings[traffic]


def broken_node(swarm: Cluster, web: Service, scenario: Scenario) -> str:
    """The node that the scenario breaks, which no client asks; empty when it breaks none."""
    if scenario.event is Event.WORKER_KILLED:
        return next((name for name in reversed(web.nodes()) if swarm.node(name) in swarm.nodes[swarm.managers :]), "n4")
    return swarm.leader.name if scenario.event is Event.LEADER_KILLED else ""


def listening(swarm: Cluster, web: Service) -> None:
    """Wait until every node with a task answers on the published port."""
    (port,) = web.published_ports

    def look() -> Done[None] | NotYet:
        for name in web.nodes():
            try:
                with urllib.request.urlopen(f"http://{swarm.node(name).address}:{port}/health", timeout=2.0):
                    pass
            except OSError as error:
                return NotYet(f"{name}: {error}")
        return Done(None)

    wait_until(look, what="the service to listen", timeout=60.0)


def happen(swarm: Cluster, web: Service, scenario: Scenario, broken: str) -> None:
    """Let the event happen, and wait until the service is whole again."""
    event = scenario.event
    if event is Event.UPDATE:
        web.update(image=f"{IMAGE}:2")
    elif event is Event.SCALE_UP:
        web.scale(2 * scenario.replicas)
    elif event is Event.SCALE_DOWN:
        web.scale(1)
    elif event is Event.DRAIN:
        swarm.drain(web.nodes()[-1])
    elif event is Event.NETWORK:
        # Attached to one more network, every task is replaced.
        update_and_wait(web, "--network-add", NETWORK)
    elif event is Event.TASK_KILLED:
        kill_a_task(swarm, web)
    elif event is Event.WORKER_KILLED:
        with swarm.kill(broken, limit=FAULT_SECONDS):
            wait_running_elsewhere(swarm, web, broken)
        web.wait_converged()
    elif event is Event.LEADER_KILLED:
        swarm.kill(broken, limit=FAULT_SECONDS)
        web.update(image=f"{IMAGE}:2")
        swarm.heal()
    else:
        swarm.kill_engine(web.nodes()[-1]).heal()
        web.wait_converged()


def kill_a_task(swarm: Cluster, web: Service) -> None:
    """Kill the main process of one task, as a crash does; its replacement must come."""
    (name, *_) = web.nodes()
    node = swarm.node(name)
    superseded = [task["ID"] for task in web.tasks()]
    filters = {"label": f"{SERVICE_LABEL}={web.id}"}
    (container, *_) = node.client.api.containers(filters=filters)
    node.client.api.kill(container["Id"])

    def replaced() -> Done[None] | NotYet:
        new = [task for task in web.tasks() if task["ID"] not in superseded and task["Status"]["State"] == "running"]
        return Done(None) if new else NotYet("no new task runs")

    wait_until(replaced, what="the killed task's successor", timeout=REPLACED_SECONDS)


def wait_running_elsewhere(swarm: Cluster, web: Service, broken: str) -> None:
    """Wait until all replicas run on the other nodes."""
    from docker.errors import DockerException

    broken_id = swarm.node_ids()[broken]

    def look() -> Done[None] | NotYet:
        try:
            tasks = web.tasks()
        except (DockerException, OSError) as error:
            return NotYet(str(error))
        count = sum(is_running(task) and task["NodeID"] != broken_id for task in tasks)
        wanted = web.deployment.replicas
        return Done(None) if count >= wanted else NotYet(f"{count} of {wanted} run elsewhere")

    wait_until(look, what="all replicas elsewhere", timeout=REPLACED_SECONDS)


@contextlib.contextmanager
def overlay(swarm: Cluster) -> Iterator[None]:
    """A network to attach to, gone afterwards together with what uses it."""
    swarm.nodes[0].run_command(["docker", "network", "create", "--driver", "overlay", NETWORK])
    try:
        yield
    finally:
        for service in swarm.services:
            service.remove()
        wait_until(_removal(swarm), what="removal of the network", timeout=30.0)


def _removal(swarm: Cluster) -> Callable[[], Done[None] | NotYet]:
    def attempt() -> Done[None] | NotYet:
        try:
            swarm.nodes[0].run_command(["docker", "network", "rm", NETWORK])
        except RuntimeError as error:
            return NotYet(str(error))
        return Done(None)

    return attempt
