"""Global services: a task on every node that takes it."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.control import per_node
from orchestrator.model.node import Availability, NodeState
from orchestrator.model.service import Placement, ServiceMode
from orchestrator.model.task import TaskState
from orchestrator.state.actions import CreateTask, SetDesiredState, SetNodeState, UpdateNodeSpec
from tests.builders import Scene, a_node, a_spec


def a_scene(**task: Any) -> Scene:
    scene = Scene([a_node("n1", labels={"zone": "a"}), a_node("n2")])
    scene.create(a_spec(mode=ServiceMode.GLOBAL, **task))
    return scene


def created(scene: Scene) -> list[str]:
    return [a.task.node_id for a in per_node.reconcile(scene.situation).actions if isinstance(a, CreateTask)]


def set_availability(scene: Scene, node_id: str, availability: Availability) -> None:
    node = scene.state.node(node_id)
    scene.apply(UpdateNodeSpec(node_id, node.version, replace(node.spec, availability=availability)))


def test_every_node_gets_one() -> None:
    scene = a_scene()
    assert created(scene) == ["n1", "n2"]
    scene.apply(*per_node.reconcile(scene.situation).actions)
    assert per_node.reconcile(scene.situation).actions == ()


def test_only_matching_nodes_get_one() -> None:
    assert created(a_scene(placement=Placement(("node.labels.zone==a",)))) == ["n1"]


@pytest.mark.parametrize("availability", [Availability.PAUSE, Availability.DRAIN])
def test_closed_nodes_get_none(availability: Availability) -> None:
    scene = a_scene()
    set_availability(scene, "n2", availability)
    assert created(scene) == ["n1"]


def test_a_drained_or_dead_node_loses_its_task_and_a_paused_one_keeps_it() -> None:
    scene = a_scene()
    scene.apply(*per_node.reconcile(scene.situation).actions)
    set_availability(scene, "n1", Availability.PAUSE)
    assert per_node.reconcile(scene.situation).actions == ()
    set_availability(scene, "n1", Availability.DRAIN)
    scene.apply(SetNodeState("n2", NodeState.DOWN))
    tasks = scene.state.tasks_of_service("web-id")
    assert per_node.reconcile(scene.situation).actions == tuple(
        SetDesiredState(task.id, TaskState.REMOVE) for task in tasks
    )


def test_a_node_that_comes_back_gets_a_new_one() -> None:
    scene = a_scene()
    scene.apply(*per_node.reconcile(scene.situation).actions, SetNodeState("n2", NodeState.DOWN))
    scene.apply(*per_node.reconcile(scene.situation).actions)
    scene.apply(SetNodeState("n2", NodeState.READY))
    assert created(scene) == ["n2"]
