"""How many slots a service has, and which go first."""

from dataclasses import replace

from orchestrator.control import replicated
from orchestrator.model.service import Service
from orchestrator.model.task import TaskState
from orchestrator.state.actions import CreateTask, SetDesiredState, UpdateService
from tests.builders import Scene, a_node, a_spec, a_task_running


def a_scene(replicas: int) -> Scene:
    scene = Scene([a_node("n1"), a_node("n2")])
    scene.create(a_spec(replicas=replicas))
    return scene


def scale(scene: Scene, replicas: int) -> Service:
    service = scene.state.service("web-id")
    scene.apply(UpdateService(service.id, service.version, replace(service.spec, replicas=replicas)))
    return scene.state.service("web-id")


def removed_slots(scene: Scene) -> list[int]:
    plan = replicated.reconcile(scene.situation)
    return [scene.state.task(a.task_id).slot for a in plan.actions if isinstance(a, SetDesiredState)]


def test_fills_the_lowest_free_slots() -> None:
    scene = a_scene(4)
    a_task_running(scene, "web-id", "n1", slot=1)
    a_task_running(scene, "web-id", "n1", slot=3)
    plan = replicated.reconcile(scene.situation)
    assert [a.task.slot for a in plan.actions if isinstance(a, CreateTask)] == [2, 4]


def test_rests_when_all_slots_are_filled() -> None:
    scene = a_scene(2)
    scene.apply(*replicated.reconcile(scene.situation).actions)
    assert replicated.reconcile(scene.situation).actions == ()


def test_scale_down_takes_what_does_not_run_first() -> None:
    scene = a_scene(3)
    waiting = a_task_running(scene, "web-id", "n1", slot=1)
    scene.report(waiting.id, TaskState.FAILED)
    for slot in (2, 3):
        a_task_running(scene, "web-id", f"n{slot - 1}", slot)
    scale(scene, 2)
    assert removed_slots(scene) == [1]


def test_scale_down_keeps_nodes_balanced() -> None:
    scene = a_scene(3)
    for slot, node_id in ((1, "n1"), (2, "n1"), (3, "n2")):
        a_task_running(scene, "web-id", node_id, slot)
    scale(scene, 2)
    assert removed_slots(scene) == [2]


def test_scale_down_takes_the_highest_of_equals() -> None:
    scene = a_scene(4)
    for slot, node_id in ((1, "n1"), (2, "n2"), (3, "n1"), (4, "n2")):
        a_task_running(scene, "web-id", node_id, slot)
    scale(scene, 3)
    assert removed_slots(scene) == [4]
    scale(scene, 0)
    assert removed_slots(scene) == [1, 2, 3, 4]


def test_a_slot_that_was_left_is_used_again() -> None:
    scene = a_scene(1)
    a_task_running(scene, "web-id", "n1", slot=1)
    scale(scene, 0)
    scene.apply(*replicated.reconcile(scene.situation).actions)
    scale(scene, 1)
    plan = replicated.reconcile(scene.situation)
    assert [a.task.slot for a in plan.actions if isinstance(a, CreateTask)] == [1]


def test_of_two_tasks_left_in_a_slot_the_running_one_stays() -> None:
    scene = a_scene(1)
    keeps = a_task_running(scene, "web-id", "n1", slot=1)
    double = a_task_running(scene, "web-id", "n2", slot=1)
    scene.report(keeps.id, TaskState.RUNNING)
    plan = replicated.reconcile(scene.situation)
    assert plan.actions == (SetDesiredState(double.id, TaskState.SHUTDOWN),)
