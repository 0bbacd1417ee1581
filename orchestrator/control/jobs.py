"""Jobs: tasks that run to completion, so many in all and so many at a time; of a global job, one on every node.

Every update of the service begins another iteration, which runs the job anew; tasks of earlier ones are stopped. What
has completed is never repeated within its iteration, what failed is, as its restart policy says. Follows swarmkit's
`manager/orchestrator/jobs`; there slots are counted from 0, here from 1.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator.control.constraints import node_can_run, node_suits
from orchestrator.control.plan import Plan, Situation, earliest
from orchestrator.control.restart import replacement, should_restart
from orchestrator.control.slots import SlotKey, is_lost, new_task
from orchestrator.model.service import Service, ServiceMode
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import Action, CreateTask, SetDesiredState


@dataclass(frozen=True, slots=True)
class _Slot:
    """One execution within the present iteration, attempts included."""

    key: SlotKey
    tasks: tuple[Task, ...]
    """Oldest first; never empty."""

    @property
    def latest(self) -> Task:
        return self.tasks[-1]

    @property
    def is_live(self) -> bool:
        return any(task.is_live for task in self.tasks)


def reconcile(situation: Situation) -> Plan:
    """Stop earlier iterations, replace what failed or was lost, begin what has a turn."""
    actions: list[Action] = []
    wake_at: float | None = None
    for service in situation.services:
        if service.spec.is_job:
            plan = _reconcile_job(situation, service)
            actions.extend(plan.actions)
            wake_at = earliest((wake_at, plan.wake_at))
    return Plan(tuple(actions), wake_at)


def _reconcile_job(situation: Situation, service: Service) -> Plan:
    actions = list(_end_earlier_iterations(situation, service))
    slots = _slots(situation, service)
    wake_at: float | None = None
    for slot in slots:
        plan = _tend(situation, service, slot)
        actions.extend(plan.actions)
        wake_at = earliest((wake_at, plan.wake_at))
    actions.extend(_begin(situation, service, slots))
    return Plan(tuple(actions), wake_at)


def _end_earlier_iterations(situation: Situation, service: Service) -> Iterator[Action]:
    for task in situation.state.tasks_of_service(service.id):
        if task.job_iteration == service.job_iteration or not task.is_wanted:
            continue
        # What is over stays as history.
        yield SetDesiredState(task.id, TaskState.SHUTDOWN if task.status.state.is_terminal else TaskState.REMOVE)


def _slots(situation: Situation, service: Service) -> list[_Slot]:
    grouped: dict[SlotKey, list[Task]] = {}
    for task in situation.state.tasks_of_service(service.id):
        if task.job_iteration == service.job_iteration and task.desired_state < TaskState.REMOVE:
            grouped.setdefault(task.slot or task.node_id, []).append(task)
    return [_Slot(key, tuple(tasks)) for key, tasks in grouped.items()]


def _tend(situation: Situation, service: Service, slot: _Slot) -> Plan:
    """Replace the slot's latest task if it did not and will not complete; start a replacement that waited."""
    task = slot.latest
    if not task.is_wanted or task.status.state is TaskState.COMPLETE:
        return Plan()
    if service.spec.mode is ServiceMode.GLOBAL_JOB and _must_leave(situation, service, task):
        return Plan((SetDesiredState(task.id, TaskState.REMOVE),))
    if task.status.state.is_terminal or is_lost(situation.state, task):
        stop = SetDesiredState(task.id, TaskState.SHUTDOWN)
        if not should_restart(task, situation.now):
            return Plan((stop,))
        return Plan((CreateTask(_for_job(service, replacement(situation, service, slot.key, task))), stop))
    if task.status.state >= TaskState.ASSIGNED and not node_suits(situation.state.nodes.get(task.node_id), task.spec):
        # Its node is drained or no longer matches: that is no failure, so it costs no attempt.
        again = new_task(service, slot.key, situation.new_id, TaskState.COMPLETE, restarts=task.restarts)
        return Plan((CreateTask(_for_job(service, again)), SetDesiredState(task.id, TaskState.SHUTDOWN)))
    if task.desired_state is TaskState.READY:
        if task.not_before > situation.now:
            return Plan(wake_at=task.not_before)
        return Plan((SetDesiredState(task.id, TaskState.COMPLETE),))
    return Plan()


def _must_leave(situation: Situation, service: Service, task: Task) -> bool:
    return not node_can_run(situation.state.nodes.get(task.node_id), service.spec.task)


def _begin(situation: Situation, service: Service, slots: list[_Slot]) -> Iterator[Action]:
    keys = _global_keys(situation, service) if service.spec.mode is ServiceMode.GLOBAL_JOB else _turns(service, slots)
    taken = {slot.key for slot in slots}
    for key in keys:
        if key not in taken:
            yield CreateTask(_for_job(service, new_task(service, key, situation.new_id, TaskState.COMPLETE)))


def _global_keys(situation: Situation, service: Service) -> list[SlotKey]:
    nodes = situation.state.nodes.values()
    return [node.id for node in nodes if node.accepts_tasks and node_can_run(node, service.spec.task)]


def _turns(service: Service, slots: list[_Slot]) -> list[SlotKey]:
    """Slot numbers that may begin now: the lowest that never did, as far as `max_concurrent` allows."""
    at_a_time = 1 if service.spec.max_concurrent is None else service.spec.max_concurrent
    total = at_a_time if service.spec.total_completions is None else service.spec.total_completions
    taken = {slot.key for slot in slots}
    free = (number for number in range(1, total + 1) if number not in taken)
    under_way = sum(_is_under_way(slot) for slot in slots)
    return list(itertools.islice(free, max(at_a_time - under_way, 0)))


def _is_under_way(slot: _Slot) -> bool:
    """A failed task is either being replaced in this very plan, or never will be; then its slot holds up nobody."""
    return slot.is_live or (slot.latest.is_wanted and slot.latest.status.state is not TaskState.COMPLETE)


def _for_job(service: Service, task: Task) -> Task:
    desired = TaskState.READY if task.desired_state is TaskState.READY else TaskState.COMPLETE
    return replace(task, desired_state=desired, job_iteration=service.job_iteration)
