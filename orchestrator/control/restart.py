"""What becomes of tasks that ended or were lost, and when a prepared task may start.

A replacement is made at once, desired READY, so that its image and container are there when the restart delay is
over. The memory of attempts travels in the newest task (`Task.restarts`): the reaper need not keep history for it.
"""

from dataclasses import replace

from orchestrator.control.constraints import node_suits
from orchestrator.control.plan import NOTHING, Plan, Situation, merged
from orchestrator.control.slots import (
    Slot,
    SlotKey,
    is_global,
    is_lost,
    is_replicated,
    new_task,
    restart_policy,
    slots_of,
)
from orchestrator.model.service import RestartCondition, RestartPolicy, Service
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import CreateTask, SetDesiredState


def reconcile(situation: Situation) -> Plan:
    """Replace what ended or was lost as its restart policy says; start what has waited long enough."""
    return merged(
        plan
        for service in situation.services
        if is_replicated(service) or is_global(service)
        for slot in slots_of(situation.state, service)
        for plan in (_replace_ended(situation, service, slot), _promote(situation, slot))
    )


def _replace_ended(situation: Situation, service: Service, slot: Slot) -> Plan:
    over = [task for task in slot.wanted if task.status.state.is_terminal or is_lost(situation.state, task)]
    if not over:
        return NOTHING
    if len(over) == len(slot.wanted) and _is_waiting(service, over[-1], situation.now):
        return Plan(wake_at=over[-1].not_before)
    stops = tuple(SetDesiredState(task.id, TaskState.SHUTDOWN) for task in over)
    if len(over) == len(slot.wanted) and should_restart(over[-1], situation.now):
        return Plan((CreateTask(replacement(situation, service, slot.key, over[-1])), *stops))
    return Plan(stops)


def _is_waiting(service: Service, over: Task, now: float) -> bool:
    """Whether it failed while it was prepared, before its turn had come: the delay it waited out still counts.

    Else what cannot be prepared, for want of its image say, would be tried again without a pause.
    """
    return over.spec_version == service.spec_version and over.desired_state is TaskState.READY and over.not_before > now


def should_restart(task: Task, now: float) -> bool:
    """Whether the task's own policy wants another attempt after it (swarmkit's `shouldRestart`)."""
    policy = restart_policy(task)
    if policy.condition is RestartCondition.NONE:
        return False
    if policy.condition is RestartCondition.ON_FAILURE and task.status.state is TaskState.COMPLETE:
        return False
    return policy.max_attempts == 0 or len(_recent(task.restarts, policy, now)) < policy.max_attempts


def _recent(restarts: tuple[float, ...], policy: RestartPolicy, now: float) -> tuple[float, ...]:
    if not policy.window:
        return restarts
    return tuple(at for at in restarts if at > now - policy.window)


def replacement(situation: Situation, service: Service, key: SlotKey, over: Task) -> Task:
    """The task that takes the place of one that ended or was lost; after a failure it waits the restart delay.

    Another version starts at once and with a clean record: the attempts and the delay are those of what failed
    (swarmkit's updater waits no restart delay either). So a rollback does not leave a slot empty longer than it must.
    """
    if over.spec_version != service.spec_version:
        return new_task(service, key, situation.new_id)
    made = new_task(service, key, situation.new_id, restarts=attempts_with(over, situation.now))
    if not over.status.state.is_terminal or not node_suits(situation.state.nodes.get(over.node_id), over.spec):
        # It did not fail: its node is down, gone or drained. Waiting would gain nothing.
        return made
    since = max(over.state_since, over.not_before) if over.desired_state is TaskState.READY else over.state_since
    return replace(made, desired_state=TaskState.READY, not_before=since + restart_policy(over).delay_in_force)


def attempts_with(over: Task, now: float) -> tuple[float, ...]:
    """What the task that follows is to remember of the attempts before it."""
    policy = restart_policy(over)
    return (*_recent(over.restarts, policy, now), now) if policy.max_attempts else ()


def _promote(situation: Situation, slot: Slot) -> Plan:
    """Turn the slot's prepared task to RUNNING once nothing stands before it."""
    prepared = [task for task in slot.live if task.desired_state is TaskState.READY]
    if not prepared or len(prepared) < len(slot.wanted):
        return NOTHING
    task = prepared[-1]
    if task.not_before > situation.now:
        return Plan(wake_at=task.not_before)
    if not task.not_before and _is_held_by_predecessor(situation, slot, task):
        return NOTHING
    return Plan((SetDesiredState(task.id, TaskState.RUNNING),))


def _is_held_by_predecessor(situation: Situation, slot: Slot, task: Task) -> bool:
    """Stop-first: the one it replaces must be over, or on a node of which nothing will be heard."""
    return any(
        not other.is_wanted and not other.status.state.is_terminal and not is_lost(situation.state, other)
        for other in slot.tasks[: slot.tasks.index(task)]
    )
