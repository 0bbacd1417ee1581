"""When a node counts as up."""

from dataclasses import replace

import pytest

from orchestrator.control import node_liveness
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.node import NodeRole, NodeState, Reachability
from orchestrator.model.task import TaskState
from orchestrator.state.actions import LoseTask, RemoveTask, SetDesiredState, SetNodeState, SetReachability
from tests.builders import Scene, a_node, a_spec, a_task_running

PERIOD = 5.0


def actions(scene: Scene) -> tuple[object, ...]:
    return node_liveness.reconcile(scene.situation).actions


def test_a_node_is_down_after_three_silent_periods() -> None:
    scene = Scene([a_node("n1")])
    scene.hear()
    assert node_liveness.reconcile(scene.situation).wake_at == scene.now + 3 * PERIOD
    scene.now += 3 * PERIOD - 0.1
    assert actions(scene) == ()
    scene.now += 0.1
    assert actions(scene) == (SetNodeState("n1", NodeState.DOWN, "heartbeat failure"),)


@pytest.mark.parametrize(("period", "patience"), [(10.0, 30.0), (PERIOD, 15.0), (1.0, 15.0)])
def test_a_new_leader_waits_for_nodes_it_never_heard_though_their_beat_be_short(period: float, patience: float) -> None:
    scene = Scene([a_node("n1")], ClusterSpec(heartbeat_period=period))
    scene.now = scene.leading_since + patience - 0.1
    assert actions(scene) == ()
    scene.now += 0.1
    assert actions(scene) == (SetNodeState("n1", NodeState.DOWN, "heartbeat failure"),)


def test_what_an_earlier_leader_heard_does_not_count() -> None:
    scene = Scene([a_node("n1")])
    scene.hear()
    scene.now += 20.0
    scene.leading_since = scene.now
    assert actions(scene) == ()


def test_a_node_comes_up_when_it_holds_the_newest_withdrawal() -> None:
    scene = Scene([a_node("n1"), a_node("n2", state=NodeState.DOWN)])
    scene.create(a_spec())
    task = a_task_running(scene, "web-id", "n1")
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    scene.hear("n1")
    scene.hear("n2", revision=scene.state.network_revision - 1)
    assert actions(scene) == ()
    scene.hear("n2")
    assert actions(scene) == (SetNodeState("n2", NodeState.READY),)


def test_a_withdrawal_counts_though_its_task_is_forgotten() -> None:
    scene = Scene([a_node("n1"), a_node("n2", state=NodeState.DOWN)])
    scene.create(a_spec())
    task = a_task_running(scene, "web-id", "n1")
    behind = scene.state.network_revision
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    scene.report(task.id, TaskState.SHUTDOWN)
    scene.apply(RemoveTask(task.id))
    scene.hear("n1")
    scene.hear("n2", revision=behind)
    assert actions(scene) == ()


def test_a_node_that_reports_but_never_acknowledges_is_declared_down() -> None:
    scene = Scene([a_node("n1"), a_node("n2")])
    scene.create(a_spec())
    task = a_task_running(scene, "web-id", "n1")
    behind = scene.state.network_revision
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    revision = scene.state.network_revision
    scene.now += 19.9
    scene.hear("n1")
    scene.hear("n2", revision=behind)
    assert actions(scene) == ()
    scene.now += 0.1
    assert actions(scene) == (SetNodeState("n2", NodeState.DOWN, f"did not acknowledge network revision {revision}"),)


def test_a_new_leader_gives_nodes_time_to_acknowledge_an_old_withdrawal() -> None:
    scene = Scene([a_node("n1")])
    scene.create(a_spec())
    task = a_task_running(scene, "web-id", "n1")
    behind = scene.state.network_revision
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    scene.now += 60.0
    scene.leading_since = scene.now
    scene.hear(revision=behind)
    plan = node_liveness.reconcile(scene.situation)
    assert (plan.actions, plan.wake_at) == ((), scene.now + 15.0)
    scene.now += 20.0
    scene.hear(revision=behind)
    assert [type(action) for action in actions(scene)] == [SetNodeState]


def test_tasks_of_a_node_that_stays_down_for_a_day_are_given_up() -> None:
    scene = Scene([a_node("n1")])
    scene.create(a_spec())
    task = a_task_running(scene, "web-id", "n1")
    scene.apply(SetNodeState("n1", NodeState.DOWN))
    down_at = scene.now
    scene.now += 24 * 3600 - 1
    plan = node_liveness.reconcile(scene.situation)
    assert (plan.actions, plan.wake_at) == ((), down_at + 24 * 3600)
    scene.now += 1
    assert actions(scene) == (LoseTask(task.id, TaskState.ORPHANED, "node is down for too long"),)


def test_managers_are_reachable_when_heard() -> None:
    manager = replace(a_node("n1", role=NodeRole.MANAGER), reachability=Reachability.UNKNOWN)
    scene = Scene([manager])
    scene.hear()
    assert actions(scene) == (SetReachability("n1", Reachability.REACHABLE),)
    scene.now += 3 * PERIOD
    assert SetReachability("n1", Reachability.UNREACHABLE) in actions(scene)
