"""Which nodes are up, from what the leader heard of them.

Times stay with the leader; only a changed verdict is proposed. A node counts as READY only when its data plane holds
no endpoint that was withdrawn while it was away: the withdrawal protocol waits for READY nodes alone.
"""

from dataclasses import dataclass

from orchestrator.control.plan import NOTHING, Plan, Situation, earliest, merged
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.node import Node, NodeRole, NodeState, Reachability
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state.actions import Action, LoseTask, SetNodeState, SetReachability
from orchestrator.state.cluster_state import ClusterState

GRACE_PERIODS = 3
"""Heartbeat periods of silence until a node is down (swarmkit `dispatcher.go`, defaultGracePeriodMultiplier)."""
RETURN_S = 15.0
"""How long a new leader waits at least, for nodes that must find it first: whoever is asked in vain costs an agent 6 s
at most where it held a session, 5 s where it begins one. Swarmkit doubles the grace, since its agents wait up to 8 s
before they try again (`dispatcher/nodes.go`); the update that the old leader's node holds up waits with it."""
ACKNOWLEDGE_DEADLINE_S = 20.0
"""How long a node that does report may hold up a withdrawal."""
ORPHAN_AFTER_S = 24 * 3600.0
"""When tasks of a node that stays down are given up (swarmkit defaultNodeDownPeriod)."""


def reconcile(situation: Situation) -> Plan:
    """Propose what changed: READY, DOWN, reachability of managers, tasks lost with a node."""
    leaving = situation.state.leaving_tasks
    withdrawing = [task for task in leaving if task.endpoint is EndpointState.WITHDRAWING]
    deadlines: list[float] = []
    plans: list[Plan] = []
    for node in situation.state.nodes.values():
        # Nearly always all nodes are well, and this is asked at every heartbeat.
        deadline = None if withdrawing else _well_until(situation, node)
        if deadline is None:
            plans.append(_judge(situation, node, withdrawing))
        else:
            deadlines.append(deadline)
    return merged((*plans, Plan(wake_at=min(deadlines)))) if deadlines else merged(plans)


def is_heard(situation: Situation, node_id: str) -> bool:
    """Whether the leader has heard of the node within its grace, whatever the verdict on it."""
    node = situation.state.nodes.get(node_id)
    if node is None:
        return False
    hearing = _hearing(situation, node)
    return hearing.heard and situation.now < hearing.deadline


def _well_until(situation: Situation, node: Node) -> float | None:
    """When the silence of a node becomes too long with which all is well; None when there is more to look at."""
    seen = situation.observations.get(node.id)
    if seen is None or node.state is not NodeState.READY or seen.last_heard < situation.leading_since:
        return None
    if node.role is NodeRole.MANAGER and node.reachability is not Reachability.REACHABLE:
        return None
    cluster = situation.state.cluster
    period = seen.period or (cluster.spec if cluster else ClusterSpec()).beat
    deadline = seen.last_heard + GRACE_PERIODS * period
    return deadline if situation.now < deadline else None


@dataclass(frozen=True, slots=True)
class _Hearing:
    """When a node's silence becomes too long, and whether it was heard at all."""

    deadline: float
    heard: bool


def _judge(situation: Situation, node: Node, withdrawing: list[Task]) -> Plan:
    if node.is_leaving and node.state is NodeState.DOWN:
        return _gone(situation, node)
    hearing = _hearing(situation, node)
    if situation.now >= hearing.deadline:
        return _silent(situation, node)
    actions: list[Action] = []
    if hearing.heard and node.role is NodeRole.MANAGER and node.reachability is not Reachability.REACHABLE:
        actions.append(SetReachability(node.id, Reachability.REACHABLE))
    overdue = _overdue(situation, node, withdrawing) if withdrawing else NOTHING
    if node.is_ready and overdue.actions:
        return Plan((*actions, *overdue.actions), hearing.deadline)
    if hearing.heard and not node.is_ready and _is_caught_up(situation, node):
        actions.append(SetNodeState(node.id, NodeState.READY))
    return Plan(tuple(actions), earliest((hearing.deadline, overdue.wake_at)))


def _hearing(situation: Situation, node: Node) -> _Hearing:
    cluster = situation.state.cluster
    period = (cluster.spec if cluster else ClusterSpec()).beat
    observation = situation.observations.get(node.id)
    since = max(situation.leading_since, node.created_at)
    patience = since + max(GRACE_PERIODS * period, RETURN_S)
    if observation is None or observation.last_heard < situation.leading_since:
        return _Hearing(patience, heard=False)
    # A shorter period counts from the node's next word on: it may not have known of it yet.
    return _Hearing(observation.last_heard + GRACE_PERIODS * (observation.period or period), heard=True)


def _silent(situation: Situation, node: Node) -> Plan:
    actions: list[Action] = []
    if node.state is not NodeState.DOWN:
        actions.append(SetNodeState(node.id, NodeState.DOWN, "heartbeat failure"))
    if node.role is NodeRole.MANAGER and node.reachability is not Reachability.UNREACHABLE:
        actions.append(SetReachability(node.id, Reachability.UNREACHABLE))
    if node.state is not NodeState.DOWN:
        return Plan(tuple(actions))
    # `updated_at` is when it went down, or later: a touch by the operator starts the wait anew.
    orphaned_at = node.updated_at + ORPHAN_AFTER_S
    running = [task for task in situation.state.tasks_on_node(node.id) if _may_run(task.status.state)]
    if running and situation.now >= orphaned_at:
        actions.extend(LoseTask(task.id, TaskState.ORPHANED, "node is down for too long") for task in running)
    return Plan(tuple(actions), orphaned_at if running and situation.now < orphaned_at else None)


def _gone(situation: Situation, node: Node) -> Plan:
    """It has left: whatever was heard of it was its last word, and of tasks it did not end nothing will be heard."""
    left = [task for task in situation.state.tasks_on_node(node.id) if _may_run(task.status.state)]
    return Plan(tuple(LoseTask(task.id, TaskState.ORPHANED, "node left the swarm") for task in left))


def _may_run(state: TaskState) -> bool:
    return TaskState.ASSIGNED <= state <= TaskState.RUNNING


def _overdue(situation: Situation, node: Node, withdrawing: list[Task]) -> Plan:
    """DOWN for a node that reports, but does not take the network revision a withdrawal waits for."""
    observation = situation.observations.get(node.id)
    if observation is None or not node.is_ready:
        return NOTHING
    held_up = [task for task in withdrawing if observation.revision < task.withdrawn_revision]
    if not held_up:
        return NOTHING
    oldest = min(held_up, key=lambda task: task.withdrawn_at)
    # A new leader gives every node time to find it and to be told.
    deadline = max(oldest.withdrawn_at, situation.leading_since) + ACKNOWLEDGE_DEADLINE_S
    if situation.now < deadline:
        return Plan(wake_at=deadline)
    message = f"did not acknowledge network revision {oldest.withdrawn_revision}"
    return Plan((SetNodeState(node.id, NodeState.DOWN, message),))


def _is_caught_up(situation: Situation, node: Node) -> bool:
    observation = situation.observations.get(node.id)
    return observation is not None and observation.revision >= _revision_to_reach(situation.state, node)


def _revision_to_reach(state: ClusterState, node: Node) -> int:
    """No endpoint withdrawn so far may be left in the node's balancers, nor anything from before it went away."""
    return max(state.withdrawn_revision, min(node.version, state.network_revision))
