"""Restart policies, delays, and the start of prepared tasks."""

from dataclasses import replace

import pytest

from orchestrator.control import replicated, restart
from orchestrator.model.node import Availability, NodeState
from orchestrator.model.service import RestartCondition, RestartPolicy
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import (
    AllocateTask,
    AssignTask,
    CreateTask,
    SetDesiredState,
    SetNodeState,
    UpdateNodeSpec,
    UpdateService,
)
from tests.builders import Scene, a_node, a_spec, a_task_running

ANY, ON_FAILURE, NONE = RestartCondition.ANY, RestartCondition.ON_FAILURE, RestartCondition.NONE


def a_scene(policy: RestartPolicy | None = None) -> tuple[Scene, Task]:
    scene = Scene([a_node("n1"), a_node("n2")])
    scene.create(a_spec(restart=policy))
    return scene, a_task_running(scene, "web-id", "n1")


def created(scene: Scene) -> list[Task]:
    return [action.task for action in restart.reconcile(scene.situation).actions if isinstance(action, CreateTask)]


def run(scene: Scene) -> None:
    scene.apply(*restart.reconcile(scene.situation).actions)


@pytest.mark.parametrize(
    ("condition", "ended", "restarts"),
    [
        (ANY, TaskState.COMPLETE, True),
        (ANY, TaskState.FAILED, True),
        (ON_FAILURE, TaskState.COMPLETE, False),
        (ON_FAILURE, TaskState.FAILED, True),
        (NONE, TaskState.FAILED, False),
        (NONE, TaskState.COMPLETE, False),
    ],
)
def test_condition(condition: RestartCondition, ended: TaskState, restarts: bool) -> None:
    scene, task = a_scene(RestartPolicy(condition))
    scene.report(task.id, ended)
    plan = restart.reconcile(scene.situation)
    assert bool(created(scene)) is restarts
    assert SetDesiredState(task.id, TaskState.SHUTDOWN) in plan.actions


def test_the_replacement_is_prepared_at_once_and_started_after_the_delay() -> None:
    scene, task = a_scene(RestartPolicy(delay=5.0))
    scene.now += 100.0
    scene.report(task.id, TaskState.FAILED)
    run(scene)
    new = scene.state.tasks_of_service("web-id")[-1]
    assert new.desired_state is TaskState.READY
    assert restart.reconcile(scene.situation).wake_at == scene.now + 5.0
    scene.now += 5.0
    assert restart.reconcile(scene.situation).actions == (SetDesiredState(new.id, TaskState.RUNNING),)


def test_what_cannot_be_prepared_is_tried_once_in_a_delay() -> None:
    scene, task = a_scene(RestartPolicy(delay=5.0))
    scene.now += 100.0
    first_failure = scene.now
    scene.report(task.id, TaskState.FAILED)
    run(scene)
    new = scene.state.tasks_of_service("web-id")[-1]
    scene.apply(AllocateTask(new.id, ()), AssignTask(new.id, "n1"))
    scene.now += 0.1
    scene.report(new.id, TaskState.REJECTED)
    plan = restart.reconcile(scene.situation)
    assert (plan.actions, plan.wake_at) == ((), first_failure + 5.0)
    scene.now = first_failure + 5.0
    run(scene)
    assert scene.state.tasks_of_service("web-id")[-1].not_before == first_failure + 10.0


@pytest.mark.parametrize("how", ["down", "drained"])
def test_no_delay_when_the_node_is_to_blame(how: str) -> None:
    scene, task = a_scene()
    if how == "down":
        scene.apply(SetNodeState("n1", NodeState.DOWN))
    else:
        node = scene.state.node("n1")
        spec = type(node.spec)(node.spec.role, Availability.DRAIN)
        scene.apply(UpdateNodeSpec("n1", node.version, spec))
        scene.report(task.id, TaskState.FAILED)
    (new,) = created(scene)
    assert new.desired_state is TaskState.RUNNING


def test_another_version_starts_at_once_and_with_a_clean_record() -> None:
    scene, task = a_scene(RestartPolicy(delay=5.0, max_attempts=3))
    scene.now += 100.0
    service = scene.state.service("web-id")
    container = replace(service.spec.task.container, image="web:2")
    spec = replace(service.spec, task=replace(service.spec.task, container=container))
    scene.apply(UpdateService("web-id", service.version, spec))
    scene.report(task.id, TaskState.FAILED)
    (new,) = created(scene)
    assert (new.spec_version, new.desired_state, new.restarts) == (
        scene.state.service("web-id").spec_version,
        TaskState.RUNNING,
        (),
    )


def test_attempts_are_limited_for_ever_without_a_window() -> None:
    scene, task = a_scene(RestartPolicy(delay=0.0, max_attempts=2))
    for _ in range(2):
        scene.now += 1000.0
        scene.report(task.id, TaskState.FAILED)
        run(scene)
        task = scene.state.tasks_of_service("web-id")[-1]
        scene.report_up(task.id, "n1")
    scene.now += 1000.0
    scene.report(task.id, TaskState.FAILED)
    assert created(scene) == []


def test_attempts_outside_the_window_do_not_count() -> None:
    scene, task = a_scene(RestartPolicy(delay=0.0, max_attempts=1, window=60.0))
    for _ in range(3):
        scene.now += 61.0
        scene.report(task.id, TaskState.FAILED)
        run(scene)
        task = scene.state.tasks_of_service("web-id")[-1]
        scene.report_up(task.id, "n1")
    scene.now += 59.0
    scene.report(task.id, TaskState.FAILED)
    assert created(scene) == []


def test_a_slot_let_to_rest_counts_as_filled() -> None:
    scene, task = a_scene(RestartPolicy(NONE))
    scene.report(task.id, TaskState.COMPLETE)
    run(scene)
    assert replicated.reconcile(scene.situation).actions == ()
