"""The pure core as the cluster grows: placements a second, seconds per decision, bytes per task. It needs no container.

`SCALE_NODES=10,100` runs a part of it; each node gets `SCALE_TASKS_PER_NODE` tasks.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.control.loop import Reconciler
from orchestrator.model.service import Service
from orchestrator.model.task import TaskState, TaskStatus
from orchestrator.state.actions import Action, ReportTaskStatus, UpdateService
from pytest_swarm.session import session_of
from tests.benchmarks.book import DEFAULT_DIRECTORY, print_past_capture
from tests.benchmarks.results import table_of
from tests.builders import Scene, a_node, a_spec

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

SIZES = tuple(int(each) for each in os.environ.get("SCALE_NODES", "10,100,1000,10000").split(","))
TASKS_PER_NODE = int(os.environ.get("SCALE_TASKS_PER_NODE", "10"))
REPLICAS = 20
"""Of each service."""
ROUNDS = 5

PLACEMENTS_PER_SECOND_MIN = 5000
CHANGE_SECONDS_MAX = 0.010


@dataclasses.dataclass(frozen=True)
class Measured:
    """One size. Times are seconds."""

    nodes: int
    tasks: int
    placements_per_second: float
    change: float
    """To decide what one changed service needs, the rest being settled."""
    report: float
    """To take one task's report, and to find that nothing is to be done."""
    heartbeat: float
    """To find after a heartbeat that nothing is to be done."""
    bytes_per_task: float


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest) -> Iterator[list[Measured]]:
    """Printed as a table after the largest size, and written to the report folder."""
    made: list[Measured] = []
    yield made
    table = table_of(
        [
            {
                "nodes": f"{row.nodes}",
                "tasks": f"{row.tasks}",
                "placements/s": f"{row.placements_per_second:.0f}",
                "one changed service ms": f"{1000 * row.change:.2f}",
                "one report ms": f"{1000 * row.report:.2f}",
                "one heartbeat ms": f"{1000 * row.heartbeat:.2f}",
                "bytes/task": f"{row.bytes_per_task:.0f}",
            }
            for row in made
        ]
    )
    directory: Path = session_of(request.config).options.report_dir or DEFAULT_DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "scale.json").write_text(json.dumps([dataclasses.asdict(row) for row in made], indent=1) + "\n")
    print_past_capture(request.config, table)


@pytest.mark.parametrize("nodes", SIZES)
def test_the_core(rows: list[Measured], nodes: int) -> None:
    scene = Scene([a_node(f"n{number}") for number in range(nodes)])
    scene.hear()
    reconcile = Reconciler()
    tasks = nodes * TASKS_PER_NODE
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    fill(scene, reconcile, tasks)
    gc.collect()
    size = (tracemalloc.get_traced_memory()[0] - before) / tasks
    tracemalloc.stop()
    measured = Measured(
        nodes=nodes,
        tasks=tasks,
        placements_per_second=placements(scene, reconcile, min(tasks, 5000)),
        change=middle(lambda: change(scene, reconcile)),
        report=middle(lambda: report(scene, reconcile)),
        heartbeat=middle(lambda: heartbeat(scene, reconcile)),
        bytes_per_task=size,
    )
    rows.append(measured)


def fill(scene: Scene, reconcile: Reconciler, tasks: int) -> None:
    """Let services come into being until there are so many tasks, and all of them run."""
    for number in range(max(1, tasks // REPLICAS)):
        scene.create(a_spec(f"service{number}", replicas=min(REPLICAS, tasks)))
    settle(scene, reconcile)


def settle(scene: Scene, reconcile: Reconciler) -> None:
    """Commit what is decided and let every task start at once, until nothing is left to do."""
    while True:
        scene.hear()
        plan = reconcile(scene.situation)
        if plan.actions:
            scene.apply(*plan.actions)
        started = [
            ReportTaskStatus(task.id, TaskStatus(task.desired_state, at=scene.now))
            for task in scene.state.tasks.values()
            if TaskState.ASSIGNED <= task.status.state < task.desired_state <= TaskState.RUNNING
        ]
        ended = [
            ReportTaskStatus(task.id, TaskStatus(TaskState.SHUTDOWN, at=scene.now))
            for task in scene.state.tasks.values()
            if task.desired_state > TaskState.RUNNING and TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING
        ]
        news: list[Action] = [*started, *ended]
        if news:
            scene.apply(*news)
        elif not plan.actions:
            return


def placements(scene: Scene, reconcile: Reconciler, count: int) -> float:
    """Tasks placed a second: from a service's creation to the batch that gives each of its tasks a node, committed."""
    scene.create(a_spec("placed", replicas=count))
    scene.hear()
    began = time.perf_counter()
    placed = 0
    while placed < count:
        plan = reconcile(scene.situation)
        assert plan.actions
        scene.apply(*plan.actions)
        placed = sum(bool(task.node_id) for task in scene.state.tasks_of_service("placed-id"))
    seconds = time.perf_counter() - began
    settle(scene, reconcile)
    return count / seconds


def middle(once: Callable[[], float]) -> float:
    """The median of several."""
    return sorted(once() for _ in range(ROUNDS))[ROUNDS // 2]


def a_changed(service: Service) -> UpdateService:
    """One more replica."""
    spec = service.spec
    return UpdateService(service.id, service.version, dataclasses.replace(spec, replicas=(spec.replicas or 0) + 1))


def change(scene: Scene, reconcile: Reconciler) -> float:
    """Seconds to decide on one changed service, and to commit that."""
    scene.apply(a_changed(scene.state.service("service0-id")))
    scene.hear()
    situation = scene.situation
    began = time.perf_counter()
    plan = reconcile(situation)
    scene.apply(*plan.actions)
    seconds = time.perf_counter() - began
    assert plan.actions
    settle(scene, reconcile)
    return seconds


def report(scene: Scene, reconcile: Reconciler) -> float:
    """Seconds to take a report that changes nothing to be done."""
    task = next(iter(scene.state.tasks_of_service("service0-id")))
    situation = scene.situation
    began = time.perf_counter()
    scene.apply(ReportTaskStatus(task.id, TaskStatus(TaskState.RUNNING, at=scene.now, message="again")))
    plan = reconcile(situation)
    seconds = time.perf_counter() - began
    assert not plan.actions
    return seconds


def heartbeat(scene: Scene, reconcile: Reconciler) -> float:
    """Seconds to find after a heartbeat that nothing is to be done."""
    scene.hear("n0")
    situation = scene.situation
    began = time.perf_counter()
    plan = reconcile(situation)
    seconds = time.perf_counter() - began
    assert not plan.actions
    return seconds
