"""Moves tasks off nodes that no longer suit them: drained, or relabelled against their constraints.

Drain loses nothing: the replacement runs first, whatever the update order, and only then the old task is withdrawn.
Where no other node can take it, swarm mode's way remains: it is stopped and its replacement waits. Global services
are `per_node`'s.
"""

from collections.abc import Iterator

from orchestrator.control.constraints import node_suits
from orchestrator.control.plan import Plan, Situation, merged
from orchestrator.control.scheduler.scheduler import would_fit
from orchestrator.control.slots import (
    Slot,
    has_ended_by_itself,
    is_lost,
    is_replicated,
    is_serving,
    new_task,
    retry_at,
    slots_of,
)
from orchestrator.control.slots import restart_policy as policy_of
from orchestrator.model.node import Availability
from orchestrator.model.service import RestartCondition, Service
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import Action, CreateTask, SetDesiredState
from orchestrator.state.cluster_state import ClusterState


def reconcile(situation: Situation) -> Plan:
    """For every task that may not stay where it is: make a replacement, or withdraw it once that runs."""
    state = situation.state
    unsuited = [node for node in state.nodes.values() if node.spec.availability is Availability.DRAIN]
    return merged(
        _move(situation, service, slot, task)
        for service in situation.services
        if is_replicated(service) and (unsuited or _is_constrained(state, service))
        for slot in slots_of(state, service)
        for task in _misplaced(state, slot)
    )


def _is_constrained(state: ClusterState, service: Service) -> bool:
    """Whether any of the service's tasks, of whatever spec, may have been placed under a constraint."""
    return any(
        task.spec.placement is not None and task.spec.placement.constraints and task.is_live
        for task in state.tasks_of_service(service.id)
    )


def _misplaced(state: ClusterState, slot: Slot) -> Iterator[Task]:
    for task in slot.live:
        # What is lost is restart's to replace.
        placed = task.status.state >= TaskState.ASSIGNED and not is_lost(state, task)
        if placed and not node_suits(state.nodes.get(task.node_id), task.spec):
            yield task


def _move(situation: Situation, service: Service, slot: Slot, task: Task) -> Plan:
    stop = SetDesiredState(task.id, TaskState.SHUTDOWN)
    replacement = _replacement(situation.state, slot, task)
    if replacement is None and policy_of(task).condition is RestartCondition.NONE:
        return Plan((stop,))
    if replacement is None:
        failed = (other for other in slot.tasks[slot.tasks.index(task) + 1 :] if has_ended_by_itself(other))
        ready_at = max(map(retry_at, failed), default=0.0)
        if ready_at > situation.now:
            return Plan(wake_at=ready_at)
        create = CreateTask(new_task(service, slot.key, situation.new_id))
        return Plan((create,) if is_serving(task) else (create, stop))
    actions: list[Action] = []
    if replacement.desired_state is TaskState.READY and replacement.not_before <= situation.now:
        # A stop-first update was preparing it; the drain's order goes before the update's.
        actions.append(SetDesiredState(replacement.id, TaskState.RUNNING))
    if not is_serving(task) or is_serving(replacement) or _has_no_place(situation, replacement):
        actions.append(stop)
    return Plan(tuple(actions), replacement.not_before if replacement.not_before > situation.now else None)


def _replacement(state: ClusterState, slot: Slot, task: Task) -> Task | None:
    """The slot's other task that stays, the best placed of several."""
    staying = [
        other
        for other in slot.live
        if other is not task
        and not is_lost(state, other)
        and (not other.node_id or node_suits(state.nodes.get(other.node_id), other.spec))
    ]
    return max(staying, key=lambda other: (is_serving(other), other.status.state), default=None)


def _has_no_place(situation: Situation, task: Task) -> bool:
    """The scheduler has found no node for it, and none has come up since."""
    refused = task.status.state is TaskState.PENDING and bool(task.status.error)
    return refused and not would_fit(situation, task)
