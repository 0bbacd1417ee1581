"""Drain and relabelling: the replacement runs before the old task leaves."""

from dataclasses import replace

from orchestrator.control import constraint_enforcer
from orchestrator.model.node import Availability
from orchestrator.model.service import Placement, RestartCondition, RestartPolicy, ServiceSpec
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import (
    AllocateTask,
    AssignTask,
    CreateTask,
    ExplainPending,
    SetDesiredState,
    UpdateNodeSpec,
)
from tests.builders import Scene, a_node, a_spec, a_task_running


def a_drain(spec: ServiceSpec | None = None) -> tuple[Scene, Task]:
    scene = Scene([a_node("n1"), a_node("n2")])
    scene.create(spec or a_spec())
    task = a_task_running(scene, "web-id", "n1")
    set_availability(scene, "n1", Availability.DRAIN)
    return scene, task


def set_availability(scene: Scene, node_id: str, availability: Availability) -> None:
    node = scene.state.node(node_id)
    scene.apply(UpdateNodeSpec(node_id, node.version, replace(node.spec, availability=availability)))


def step(scene: Scene) -> tuple[object, ...]:
    plan = constraint_enforcer.reconcile(scene.situation)
    scene.apply(*plan.actions)
    return plan.actions


def replacement(scene: Scene) -> Task:
    return scene.state.tasks_of_service("web-id")[-1]


def test_the_old_task_leaves_when_its_replacement_serves() -> None:
    scene, task = a_drain()
    (create,) = step(scene)
    assert isinstance(create, CreateTask)
    assert create.task.desired_state is TaskState.RUNNING
    assert step(scene) == ()
    new = replacement(scene)
    scene.apply(AllocateTask(new.id, ()), AssignTask(new.id, "n2"))
    scene.report(new.id, TaskState.STARTING)
    assert step(scene) == ()
    scene.report(new.id, TaskState.RUNNING)
    assert step(scene) == (SetDesiredState(task.id, TaskState.SHUTDOWN),)


def test_where_no_other_node_takes_it_the_old_task_is_stopped_as_in_swarm_mode() -> None:
    scene, task = a_drain()
    set_availability(scene, "n2", Availability.PAUSE)
    step(scene)
    new = replacement(scene)
    scene.apply(AllocateTask(new.id, ()))
    assert step(scene) == ()
    scene.apply(ExplainPending(new.id, "no suitable node (2 nodes not available for new tasks)"))
    assert step(scene) == (SetDesiredState(task.id, TaskState.SHUTDOWN),)


def test_yesterdays_verdict_is_not_trusted() -> None:
    """Found by simulation: a node came up in the same batch in which the old refusal was acted upon."""
    scene, _ = a_drain()
    step(scene)
    new = replacement(scene)
    scene.apply(AllocateTask(new.id, ()), ExplainPending(new.id, "no suitable node"))
    assert step(scene) == ()


def test_a_replacement_that_fails_is_tried_again_after_the_restart_delay() -> None:
    scene, _ = a_drain()
    step(scene)
    new = replacement(scene)
    scene.apply(AllocateTask(new.id, ()), AssignTask(new.id, "n2"))
    scene.report(new.id, TaskState.REJECTED)
    plan = constraint_enforcer.reconcile(scene.situation)
    assert (plan.actions, plan.wake_at) == ((), scene.now + 5.0)
    scene.now += 5.0
    (create,) = constraint_enforcer.reconcile(scene.situation).actions
    assert isinstance(create, CreateTask)


def test_a_paused_node_keeps_its_tasks() -> None:
    scene, _ = a_drain()
    set_availability(scene, "n1", Availability.PAUSE)
    assert step(scene) == ()


def test_a_task_that_is_never_to_be_restarted_is_only_stopped() -> None:
    scene, task = a_drain(a_spec(restart=RestartPolicy(RestartCondition.NONE)))
    assert step(scene) == (SetDesiredState(task.id, TaskState.SHUTDOWN),)


def test_a_changed_label_moves_the_task() -> None:
    scene = Scene([a_node("n1", labels={"zone": "a"}), a_node("n2", labels={"zone": "a"})])
    scene.create(a_spec(placement=Placement(("node.labels.zone==a",))))
    a_task_running(scene, "web-id", "n1")
    assert step(scene) == ()
    node = scene.state.node("n1")
    scene.apply(UpdateNodeSpec("n1", node.version, replace(node.spec, labels=(("zone", "b"),))))
    (create,) = step(scene)
    assert isinstance(create, CreateTask)
