"""Where tasks go, and why they do not."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from orchestrator.control.plan import Plan
from orchestrator.control.scheduler import scheduler
from orchestrator.control.slots import new_task
from orchestrator.model.container import ContainerSpec, Mount
from orchestrator.model.node import Availability, Node, NodeState
from orchestrator.model.service import (
    LogDriver,
    Placement,
    PortConfig,
    PublishMode,
    Resources,
    ServiceMode,
    ServiceSpec,
)
from orchestrator.model.task import TaskState
from orchestrator.state.actions import AllocateTask, AssignTask, CreateTask, ExplainPending
from tests.builders import Scene, a_node, a_spec, a_task_running

ONE_CPU = Resources(nano_cpus=1_000_000_000)
NFS_VOLUME = Mount("volume", "/data", options='{"DriverConfig": {"Name": "nfs"}}')


def with_mount(mount: Mount) -> ServiceSpec:
    spec = a_spec()
    return replace(spec, task=replace(spec.task, container=ContainerSpec("web:1", mounts=(mount,))))


def schedule(nodes: list[Node], spec: ServiceSpec, count: int = 1, scene: Scene | None = None) -> Plan:
    scene = scene or Scene(nodes)
    service = scene.create(spec)
    for slot in range(1, count + 1):
        task = new_task(service, slot, partial("{}{}".format, spec.name, slot))
        scene.apply(CreateTask(task), AllocateTask(task.id, ()))
    return scheduler.reconcile(scene.situation)


def placed(plan: Plan) -> Counter[str]:
    return Counter(action.node_id for action in plan.actions if isinstance(action, AssignTask))


def error(plan: Plan) -> str:
    return next(action.error for action in plan.actions if isinstance(action, ExplainPending))


def test_spreads_a_service_evenly() -> None:
    plan = schedule([a_node(f"n{i}") for i in range(4)], a_spec(), 10)
    assert sorted(placed(plan).values()) == [2, 2, 3, 3]


def test_of_equals_the_emptier_node_is_taken() -> None:
    scene = Scene([a_node("n1"), a_node("n2")])
    scene.create(a_spec("other"))
    a_task_running(scene, "other-id", "n1")
    assert placed(schedule([], a_spec(), scene=scene)) == {"n2": 1}


def test_spreads_over_labels_before_nodes() -> None:
    nodes = [a_node("a1", labels={"zone": "a"}), *(a_node(f"b{i}", labels={"zone": "b"}) for i in range(3))]
    plan = schedule(nodes, a_spec(placement=Placement(spread=("node.labels.zone",))), 6)
    assert placed(plan)["a1"] == 3


def test_a_node_where_the_service_failed_often_is_left_for_last() -> None:
    scene = Scene([a_node("n1"), a_node("n2")])
    scene.create(a_spec())
    for slot in range(1, 6):
        task = a_task_running(scene, "web-id", "n1", slot)
        scene.report(task.id, TaskState.FAILED)
    service = scene.state.service("web-id")
    for slot in (6, 7):
        task = new_task(service, slot, partial("t{}".format, slot))
        scene.apply(CreateTask(task), AllocateTask(task.id, ()))
    assert placed(scheduler.reconcile(scene.situation)) == {"n2": 2}
    scene.now += 301.0
    assert placed(scheduler.reconcile(scene.situation)) == {"n1": 1, "n2": 1}


@pytest.mark.parametrize(
    ("nodes", "spec", "count", "expected"),
    [
        (
            [a_node("n1"), a_node("n2"), a_node("n3")],
            a_spec(placement=Placement(("node.labels.zone==a",))),
            1,
            "no suitable node (scheduling constraints not satisfied on 3 nodes)",
        ),
        (
            [a_node("n1", availability=Availability.DRAIN), a_node("n2", state=NodeState.DOWN)],
            a_spec(),
            1,
            "no suitable node (2 nodes not available for new tasks)",
        ),
        (
            [a_node("n1", availability=Availability.PAUSE), a_node("n2", resources=Resources())],
            a_spec(reservations=ONE_CPU),
            1,
            "no suitable node (1 node not available for new tasks; insufficient resources on 1 node)",
        ),
        (
            [a_node("n1")],
            a_spec(placement=Placement(platforms=(("arm64", "linux"),))),
            1,
            "no suitable node (unsupported platform on 1 node)",
        ),
        (
            [a_node("n1")],
            a_spec(ports=(PortConfig(80, 8080, publish_mode=PublishMode.HOST),)),
            2,
            "no suitable node (host-mode port already in use on 1 node)",
        ),
        (
            [a_node("n1")],
            a_spec(placement=Placement(max_replicas=1)),
            2,
            "no suitable node (max replicas per node limit exceed)",
        ),
        (
            [a_node("n1", plugins=(("Log", "journald"),)), a_node("n2", plugins=(("Log", "json-file"),))],
            a_spec(log_driver=LogDriver("syslog")),
            1,
            "no suitable node (missing plugin on 2 nodes)",
        ),
        (
            [a_node("n1", plugins=(("Volume", "local"),))],
            with_mount(NFS_VOLUME),
            1,
            "no suitable node (missing plugin on 1 node)",
        ),
        ([], a_spec(), 1, "no suitable node"),
    ],
)
def test_explains_in_swarm_modes_words(nodes: list[Node], spec: ServiceSpec, count: int, expected: str) -> None:
    assert error(schedule(nodes, spec, count)) == expected


@pytest.mark.parametrize(
    ("plugins", "spec"),
    [
        ((), a_spec(log_driver=LogDriver("syslog"))),
        ((("Log", "json-file"),), a_spec(log_driver=LogDriver("none"))),
        ((("Log", "acme/log:latest"),), a_spec(log_driver=LogDriver("acme/log"))),
        ((("Volume", "nfs"),), with_mount(NFS_VOLUME)),
        ((), with_mount(Mount("volume", "/data", "named"))),
    ],
)
def test_plugins_that_are_enough(plugins: tuple[tuple[str, str], ...], spec: ServiceSpec) -> None:
    assert placed(schedule([a_node("n1", plugins=plugins)], spec)) == {"n1": 1}


def test_resources_are_counted_as_tasks_are_placed() -> None:
    nodes = [a_node("n1", resources=Resources(2_000_000_000)), a_node("n2", resources=Resources(1_000_000_000))]
    plan = schedule(nodes, a_spec(reservations=ONE_CPU), 4)
    assert placed(plan) == {"n1": 2, "n2": 1}
    assert error(plan) == "no suitable node (insufficient resources on 2 nodes)"


def test_a_failed_task_that_still_answers_keeps_its_resources() -> None:
    scene = Scene([a_node("n1", resources=Resources(1_000_000_000))])
    scene.create(a_spec(reservations=ONE_CPU))
    failed = a_task_running(scene, "web-id", "n1")
    scene.report(failed.id, TaskState.FAILED, still_runs=True)
    scene.apply(CreateTask(new_task(scene.state.service("web-id"), 1, lambda: "next")), AllocateTask("next", ()))
    assert error(scheduler.reconcile(scene.situation)) == "no suitable node (insufficient resources on 1 node)"
    scene.report(failed.id, TaskState.FAILED)
    assert placed(scheduler.reconcile(scene.situation)) == {"n1": 1}


def test_the_same_explanation_is_not_written_twice() -> None:
    scene = Scene()
    plan = schedule([], a_spec(), scene=scene)
    scene.apply(*plan.actions)
    assert scheduler.reconcile(scene.situation).actions == ()


def test_an_architecture_has_two_names() -> None:
    plan = schedule([a_node("n1")], a_spec(placement=Placement(platforms=(("amd64", "linux"),))))
    assert placed(plan) == {"n1": 1}


def test_a_global_services_task_keeps_its_node() -> None:
    scene = Scene([a_node("n1"), a_node("n2")])
    service = scene.create(a_spec(mode=ServiceMode.GLOBAL))
    task = new_task(service, "n2", lambda: "t1")
    scene.apply(CreateTask(task), AllocateTask("t1", ()))
    assert scheduler.reconcile(scene.situation).actions == (AssignTask("t1", "n2"),)


def test_a_global_services_task_waits_for_its_node_by_the_bare_reason() -> None:
    scene = Scene([a_node("n1"), a_node("n2", resources=Resources())])
    service = scene.create(a_spec(mode=ServiceMode.GLOBAL, reservations=ONE_CPU))
    scene.apply(CreateTask(new_task(service, "n2", lambda: "t1")), AllocateTask("t1", ()))
    assert error(scheduler.reconcile(scene.situation)) == "insufficient resources on 1 node"
