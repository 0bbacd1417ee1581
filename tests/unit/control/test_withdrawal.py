"""The way out of the balancers, acknowledged by every live node."""

import pytest

from orchestrator.control import withdrawal
from orchestrator.model.node import NodeState
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state.actions import (
    ConfirmWithdrawal,
    ReleaseEndpoint,
    RemoveNode,
    RemoveService,
    SetDesiredState,
    SetNodeState,
)
from tests.builders import Scene, a_node, a_spec, a_task_running


def a_scene(labels: dict[str, str] | None = None) -> tuple[Scene, Task]:
    """Three nodes, a task on n1 that was just told to stop; nobody has heard of it yet."""
    scene = Scene([a_node("n1"), a_node("n2"), a_node("n3")])
    scene.create(a_spec(labels=labels))
    task = a_task_running(scene, "web-id", node_id="n1")
    scene.hear()
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    return scene, scene.state.task(task.id)


def actions(scene: Scene) -> tuple[object, ...]:
    return withdrawal.reconcile(scene.situation).actions


def test_waits_until_the_last_live_node_has_acknowledged() -> None:
    scene, task = a_scene()
    assert actions(scene) == ()
    scene.hear("n1", "n2")
    assert actions(scene) == ()
    scene.hear("n3")
    assert actions(scene) == (ConfirmWithdrawal(task.id),)


def test_a_node_that_is_down_is_not_waited_for() -> None:
    scene, task = a_scene()
    scene.hear("n1", "n2")
    scene.apply(SetNodeState("n3", NodeState.DOWN))
    assert actions(scene) == (ConfirmWithdrawal(task.id),)


def test_a_live_node_unheard_by_a_new_leader_is_waited_for() -> None:
    scene, _ = a_scene()
    scene.hear()
    del scene.observations["n2"]
    assert actions(scene) == ()


def test_releases_when_no_node_has_connections_left() -> None:
    scene, task = a_scene()
    scene.apply(ConfirmWithdrawal(task.id))
    scene.hear("n1", "n3")
    scene.hear("n2", flows=((task.id, 2),))
    plan = withdrawal.reconcile(scene.situation)
    assert plan.actions == ()
    assert plan.wake_at == scene.state.task(task.id).withdrawn_at + 60.0
    scene.hear("n2")
    assert actions(scene) == (ReleaseEndpoint(task.id),)


def test_releases_when_the_drain_runs_out_of_time() -> None:
    scene, task = a_scene({"swarm.drain-timeout": "10s"})
    scene.apply(ConfirmWithdrawal(task.id))
    scene.hear("n2", "n3", flows=((task.id, 1),))
    scene.hear("n1", flows=((task.id, 2),))
    scene.now += 9.9
    assert actions(scene) == ()
    scene.now += 0.2
    assert actions(scene) == (ReleaseEndpoint(task.id, cut_off=2),)


def test_a_task_on_a_node_that_is_down_is_drained_while_connections_to_it_live() -> None:
    """Found by simulation, seed 842: a node declared down for being late was serving its connections all the while."""
    scene, task = a_scene()
    scene.apply(ConfirmWithdrawal(task.id), SetNodeState("n1", NodeState.DOWN))
    scene.hear("n2", "n3")
    scene.hear("n1", flows=((task.id, 1),))
    assert actions(scene) == ()
    scene.hear("n1")
    assert actions(scene) == (ReleaseEndpoint(task.id),)


def test_what_a_dead_node_said_of_connections_does_not_hold_up_a_drain() -> None:
    scene, task = a_scene()
    scene.apply(ConfirmWithdrawal(task.id), SetNodeState("n3", NodeState.DOWN))
    scene.hear("n3", flows=((task.id, 1),))
    scene.now += 15.0
    scene.hear("n1", "n2")
    assert actions(scene) == (ReleaseEndpoint(task.id),)


def everyone_down(scene: Scene) -> None:
    scene.apply(*(SetNodeState(node_id, NodeState.DOWN) for node_id in ("n1", "n2", "n3")))


def test_when_every_node_is_down_nothing_is_confirmed_while_the_tasks_own_node_talks() -> None:
    scene, task = a_scene()
    behind = scene.state.network_revision - 1
    everyone_down(scene)
    scene.hear("n1")
    scene.hear("n2", "n3", revision=behind)
    assert actions(scene) == ()
    assert withdrawal.reconcile(scene.situation).wake_at == task.withdrawn_at + 60.0
    scene.apply(SetNodeState("n1", NodeState.READY))
    assert actions(scene) == (ConfirmWithdrawal(task.id),)


def test_nodes_that_stay_down_hold_up_a_withdrawal_no_longer_than_a_drain() -> None:
    scene, task = a_scene()
    everyone_down(scene)
    scene.now += 60.0
    scene.hear("n1")
    assert actions(scene) == (ConfirmWithdrawal(task.id),)


@pytest.mark.parametrize("own_node_talks", [False, True])
def test_silence_releases_nothing_before_the_drain_is_over(own_node_talks: bool) -> None:
    scene, task = a_scene()
    scene.apply(ConfirmWithdrawal(task.id))
    everyone_down(scene)
    scene.observations.clear()
    if own_node_talks:
        scene.hear("n1", revision=task.withdrawn_revision - 1)
    plan = withdrawal.reconcile(scene.situation)
    assert (plan.actions, plan.wake_at) == ((), task.withdrawn_at + 60.0)
    scene.now += 60.0
    assert actions(scene) == (ReleaseEndpoint(task.id),)


def test_a_node_that_talks_but_has_not_heard_of_the_withdrawal_does_not_say_it_is_drained() -> None:
    scene, task = a_scene()
    scene.apply(ConfirmWithdrawal(task.id), SetNodeState("n3", NodeState.DOWN))
    scene.hear("n1", "n2")
    scene.hear("n3", revision=task.withdrawn_revision - 1)
    assert actions(scene) == ()
    scene.hear("n3")
    assert actions(scene) == (ReleaseEndpoint(task.id),)


def test_a_task_whose_node_was_removed_is_released() -> None:
    scene, task = a_scene()
    scene.apply(ConfirmWithdrawal(task.id), SetNodeState("n1", NodeState.DOWN), RemoveNode("n1"))
    scene.hear("n2", "n3")
    assert actions(scene) == (ReleaseEndpoint(task.id),)


@pytest.mark.parametrize(
    ("labels", "endpoint"),
    [({"swarm.withdraw": "off"}, EndpointState.WITHDRAWING), ({"swarm.drain": "off"}, EndpointState.DRAINING)],
)
def test_switches_open_each_hole_again(labels: dict[str, str], endpoint: EndpointState) -> None:
    scene, task = a_scene(labels)
    if endpoint is EndpointState.DRAINING:
        scene.apply(ConfirmWithdrawal(task.id))
    assert len(actions(scene)) == 1


def test_without_withdrawal_the_drain_asks_the_tasks_own_node_alone() -> None:
    """Else the other nodes' acknowledgement would be waited for all the same."""
    scene, task = a_scene({"swarm.withdraw": "off"})
    scene.apply(ConfirmWithdrawal(task.id))
    assert actions(scene) == ()
    scene.hear("n1", flows=((task.id, 1),))
    assert actions(scene) == ()
    scene.hear("n1")
    assert actions(scene) == (ReleaseEndpoint(task.id),)
    scene.hear("n2", flows=((task.id, 1),))
    assert actions(scene) == ()


def test_a_removed_services_tasks_keep_the_switches_they_were_made_with() -> None:
    scene, task = a_scene({"swarm.withdraw": "off"})
    scene.apply(RemoveService("web-id"))
    assert actions(scene) == (ConfirmWithdrawal(task.id),)


def test_a_label_that_means_nothing_is_read_as_the_careful_way() -> None:
    scene, _ = a_scene({"swarm.withdraw": "perhaps"})
    assert actions(scene) == ()
