"""How a task leaves: first every live node stops sending to it, then its connections end, then it may be stopped.

Where clients look tasks up by name, an answer given just before the last node's acknowledgement may be used until its
TTL is over: so long, and a moment to see the connection made at the very end, such a task stays.

Acknowledged, not timed: this is what keeps requests from being lost. `apply` opens each withdrawal, in the batch that
made the task unwanted; here it is moved on. Silence acknowledges nothing: when every node seems to be down it may well
be the leader that is cut off, and only the drain timeout ends the wait.
"""

from collections.abc import Mapping

from orchestrator.control.node_liveness import is_heard
from orchestrator.control.plan import Plan, Situation, merged
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.names import TTL_S
from orchestrator.model.session import NodeObservation
from orchestrator.model.task import EndpointState, Task
from orchestrator.model.zero_loss import ZeroLossSwitches, switches_of
from orchestrator.state.actions import ConfirmWithdrawal, ReleaseEndpoint
from orchestrator.state.cluster_state import ClusterState

_WHOLE_SECOND_S = 1.0
"""Resolvers that count in whole seconds keep an answer for up to so much longer than its TTL: nginx notes time() + TTL
and uses the answer as long as time() has not passed it (ngx_resolver.c)."""
NAMES_REST_S = TTL_S + _WHOLE_SECOND_S + 0.5
"""Seconds between the acknowledged withdrawal and the earliest release of a task that had names. The half second is for
its node to see and say (`agent/network_follower.FLOW_POLL_INTERVAL_S`) that a client has just connected."""


def reconcile(situation: Situation) -> Plan:
    """Confirm withdrawals all live nodes know of; release tasks nobody is connected to any more."""
    leaving = situation.state.leaving_tasks
    if not leaving:
        return Plan()
    live = [situation.observations.get(node.id) for node in situation.state.nodes.values() if node.is_ready]
    # A node that is down for being late still tells of connections: they count as long as it talks.
    heard = {node_id: seen for node_id, seen in situation.observations.items() if is_heard(situation, node_id)}
    return merged(_move_on(situation, task, live, heard) for task in leaving)


def switches_for(state: ClusterState, task: Task) -> ZeroLossSwitches:
    """The switches in force for a task: its service's now, or those it was made with once the service is gone."""
    service = state.services.get(task.service_id)
    try:
        return switches_of(service.spec.labels if service else task.labels)
    except InvalidArgument:
        # Labels may be set to anything without asking us; the careful way is the safe reading of nonsense.
        return ZeroLossSwitches()


def _move_on(
    situation: Situation, task: Task, live: list[NodeObservation | None], heard: Mapping[str, NodeObservation]
) -> Plan:
    switches = switches_for(situation.state, task)
    if task.endpoint is EndpointState.WITHDRAWING:
        return _confirm(situation, task, switches, live, heard)
    rests_until = _names_rest_until(situation.state, task, switches)
    deadline = max(task.withdrawn_at + switches.drain_timeout, rests_until)
    is_node_gone = task.node_id not in situation.state.nodes
    drained = not switches.drain or _is_drained(task, switches, live, heard)
    if is_node_gone or (drained and situation.now >= rests_until):
        return Plan((ReleaseEndpoint(task.id),))
    if situation.now >= deadline:
        cut_off = max((_flows(seen, task) for seen in heard.values()), default=0)
        return Plan((ReleaseEndpoint(task.id, cut_off),))
    return Plan(wake_at=rests_until if situation.now < rests_until else deadline)


def _names_rest_until(state: ClusterState, task: Task, switches: ZeroLossSwitches) -> float:
    """When no answer naming the task can be in use any more, seconds since the epoch."""
    if not switches.withdraw or not state.is_on_named_network(task):
        return task.confirmed_at
    return task.confirmed_at + NAMES_REST_S


def _confirm(
    situation: Situation,
    task: Task,
    switches: ZeroLossSwitches,
    live: list[NodeObservation | None],
    heard: Mapping[str, NodeObservation],
) -> Plan:
    if not switches.withdraw:
        return Plan((ConfirmWithdrawal(task.id),))
    if not live and task.node_id in heard:
        # No node is up that could acknowledge, though its own one talks: others may be serving clients unheard.
        deadline = max(task.withdrawn_at, situation.leading_since) + switches.drain_timeout
        if situation.now < deadline:
            return Plan(wake_at=deadline)
    return Plan((ConfirmWithdrawal(task.id),)) if _is_acknowledged(task, live) else Plan()


def _is_acknowledged(task: Task, live: list[NodeObservation | None]) -> bool:
    return all(seen is not None and seen.revision >= task.withdrawn_revision for seen in live)


def _is_drained(
    task: Task,
    switches: ZeroLossSwitches,
    live: list[NodeObservation | None],
    heard: Mapping[str, NodeObservation],
) -> bool:
    """Whether its own node, and every other that talks, knows of the withdrawal and has no connection to it.

    Whether its own node is up does not matter: one declared down for being late serves on. Nodes that do not know of
    the withdrawal are waited for with `withdraw` alone.
    """
    own = heard.get(task.node_id)
    if own is None or any(_flows(seen, task) for seen in heard.values()):
        return False
    if not switches.withdraw:
        return own.revision >= task.withdrawn_revision
    return _is_acknowledged(task, live) and all(seen.revision >= task.withdrawn_revision for seen in heard.values())


def _flows(seen: NodeObservation, task: Task) -> int:
    """How many connections to the task the node sees. The task's own node sees them all, another those it passes on."""
    return max((count for task_id, count in seen.flows if task_id == task.id), default=0)
