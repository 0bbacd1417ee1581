"""A node is given the files of tasks it is yet to start, and no others."""

from dataclasses import replace

import pytest

from orchestrator.control.needed_files import configs_for, secrets_for
from orchestrator.model.container import FileReference
from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import AllocateTask, AssignTask, CreateConfig, CreateSecret, CreateTask, SetDesiredState
from tests.builders import Scene, a_node, a_spec


def scene_with_task() -> Scene:
    scene = Scene([a_node("n1"), a_node("n2")])
    scene.apply(
        CreateSecret(Secret("s1", "key", b"sealed")),
        CreateSecret(Secret("s2", "unused", b"sealed")),
        CreateConfig(ConfigObject("c1", "conf", b"data")),
    )
    spec = a_spec()
    files = replace(
        spec.task.container,
        secrets=(FileReference("s1", "key", "key"),),
        configs=(FileReference("c1", "conf", "conf"),),
    )
    service = scene.create(replace(spec, task=replace(spec.task, container=files)))
    task = Task("t1", service.id, service.name, 1, service.spec.task, service.spec_version)
    scene.apply(CreateTask(task), AllocateTask("t1", ()))
    return scene


def given(scene: Scene, node_id: str) -> list[str]:
    return [
        *(secret.name for secret in secrets_for(scene.state, node_id)),
        *(config.name for config in configs_for(scene.state, node_id)),
    ]


def test_only_the_task_s_node_is_given_only_the_task_s_files() -> None:
    scene = scene_with_task()
    assert given(scene, "n1") == []
    scene.apply(AssignTask("t1", "n1"))
    assert given(scene, "n1") == ["key", "conf"]
    assert given(scene, "n2") == []


@pytest.mark.parametrize("state", [TaskState.STARTING, TaskState.RUNNING, TaskState.FAILED])
def test_a_task_that_has_its_files_is_not_sent_them_again(state: TaskState) -> None:
    scene = scene_with_task()
    scene.apply(AssignTask("t1", "n1"))
    scene.report("t1", TaskState.PREPARING)
    assert given(scene, "n1") == ["key", "conf"]
    scene.report("t1", state)
    assert given(scene, "n1") == []


def test_an_unwanted_task_is_given_nothing() -> None:
    scene = scene_with_task()
    scene.apply(AssignTask("t1", "n1"), SetDesiredState("t1", TaskState.SHUTDOWN))
    assert given(scene, "n1") == []
