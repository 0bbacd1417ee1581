"""What is forgotten, and when."""

from orchestrator.control import task_reaper
from orchestrator.control.slots import new_task
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.task import TaskState
from orchestrator.state.actions import (
    ConfirmWithdrawal,
    CreateTask,
    LoseTask,
    ReleaseEndpoint,
    RemoveNode,
    RemoveService,
    RemoveTask,
    SetDesiredState,
)
from tests.builders import Scene, a_node, a_spec, a_task_running


def a_history(scene: Scene, length: int) -> list[str]:
    """Ids of ended tasks in one slot."""
    ids = []
    for _ in range(length):
        task = a_task_running(scene, "web-id", "n1")
        scene.report(task.id, TaskState.FAILED)
        scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
        ids.append(task.id)
    return ids


def a_scene(limit: int = 5) -> Scene:
    scene = Scene([a_node("n1")], ClusterSpec(task_history_limit=limit))
    scene.create(a_spec())
    return scene


def actions(scene: Scene) -> tuple[object, ...]:
    return task_reaper.reconcile(scene.situation).actions


def test_a_slot_keeps_as_many_tasks_as_the_limit_the_running_one_included() -> None:
    scene = a_scene(limit=5)
    ids = a_history(scene, 6)
    a_task_running(scene, "web-id", "n1")
    assert actions(scene) == (RemoveTask(ids[0]), RemoveTask(ids[1]))


def test_the_latest_task_stays_whatever_the_limit() -> None:
    scene = a_scene(limit=0)
    ids = a_history(scene, 2)
    assert actions(scene) == (RemoveTask(ids[0]),)


def test_a_negative_limit_forgets_nothing() -> None:
    scene = a_scene(limit=-1)
    a_history(scene, 8)
    assert actions(scene) == ()


def test_tasks_of_a_removed_service_go_when_they_are_over() -> None:
    scene = a_scene()
    task = a_task_running(scene, "web-id", "n1")
    scene.apply(RemoveService("web-id"))
    assert actions(scene) == ()
    scene.report(task.id, TaskState.SHUTDOWN)
    assert actions(scene) == (RemoveTask(task.id),)


def test_a_failed_task_that_still_answers_is_not_forgotten() -> None:
    scene = a_scene(limit=1)
    task = a_task_running(scene, "web-id", "n1")
    scene.report(task.id, TaskState.FAILED, still_runs=True)
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    a_task_running(scene, "web-id", "n1")
    assert actions(scene) == ()
    scene.apply(ConfirmWithdrawal(task.id), ReleaseEndpoint(task.id))
    assert actions(scene) == (RemoveTask(task.id),)


def test_a_task_that_never_had_a_node_is_ended_here() -> None:
    scene = a_scene()
    scene.apply(CreateTask(new_task(scene.state.service("web-id"), 1, lambda: "t1")))
    assert actions(scene) == ()
    scene.apply(SetDesiredState("t1", TaskState.SHUTDOWN))
    (lost,) = actions(scene)
    assert isinstance(lost, LoseTask)
    assert lost.state is TaskState.SHUTDOWN


def test_tasks_of_a_removed_node_are_orphaned() -> None:
    scene = a_scene()
    task = a_task_running(scene, "web-id", "n1")
    scene.apply(RemoveNode("n1", force=True))
    assert actions(scene) == (LoseTask(task.id, TaskState.ORPHANED, "node was removed"),)
