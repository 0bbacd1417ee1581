"""Rolling updates and rollbacks: which slot is replaced when, and what failures do to the rest.

A slot is led through phases by the table STEPS, one step per call; `situation.state` alone says which phase it is in,
so a new leader goes on where the old one stopped. Unlike swarm mode (moby#28312) a stop-first replacement is prepared
(image here, container created) before the old task is withdrawn, and one that cannot be prepared never takes it away.
Starting the prepared task once the old one is over is `restart`'s, so that a paused update leaves no slot empty.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from orchestrator.control import update_failures
from orchestrator.control.plan import NOTHING, Plan, Situation, earliest, merged
from orchestrator.control.restart import attempts_with, should_restart
from orchestrator.control.scheduler.scheduler import would_fit
from orchestrator.control.slots import (
    Slot,
    has_ended_by_itself,
    is_global,
    is_lost,
    is_replicated,
    is_serving,
    new_task,
    retry_at,
    slots_of,
)
from orchestrator.control.update_failures import Update, failed_attempt, is_made_during
from orchestrator.model.service import (
    FailureAction,
    Service,
    UpdateOrder,
    UpdateState,
    UpdateStatus,
    default_update_config,
)
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import Action, CreateTask, SetDesiredState, SetUpdateStatus
from orchestrator.state.cluster_state import ClusterState


class Phase(Enum):
    """Where a slot stands with regard to the service's present spec."""

    OUTDATED = auto()
    """Only old tasks: waits for its turn."""
    PREPARING = auto()
    """Beside the old task a new one is being made ready, not to be started yet."""
    PREPARED = auto()
    """The new one could start this moment; the old one still runs."""
    STARTING = auto()
    """The new one is told to run; the old one, if any, still serves."""
    STARTED = auto()
    """The new one runs beside the old one."""
    CURRENT = auto()
    """Nothing old is left."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A slot during an update."""

    slot: Slot
    phase: Phase
    new: Task | None
    """The live task of the present spec."""
    old: tuple[Task, ...]
    """Wanted tasks of other specs."""


Step = Callable[[Situation, Update, Progress], Plan]


def reconcile(situation: Situation) -> Plan:
    """Advance every running update by one step per slot, and begin those that are due again."""
    return merged(
        _reconcile_service(situation, service)
        for service in situation.services
        if is_replicated(service) or is_global(service)
    )


def _reconcile_service(situation: Situation, service: Service) -> Plan:
    status = service.update_status
    if status is not None and status.state.is_active:
        return _advance(situation, service, status)
    return _catch_up(situation, service) if is_global(service) else NOTHING


def _catch_up(situation: Situation, service: Service) -> Plan:
    """Update again once a node that was left out, for it took no tasks, takes them (swarmkit's `global.go`)."""
    last = service.update_status
    behind = (
        slot.live and not any(task.spec_version == service.spec_version for task in slot.live)
        for slot in slots_of(situation.state, service)
        if not _is_closed(situation.state, service, slot) and not _was_given_up(service, slot)
    )
    if (last is not None and last.state.is_paused) or not any(behind):
        return NOTHING
    status = UpdateStatus(UpdateState.UPDATING, started_at=situation.now, message="update in progress")
    return Plan((SetUpdateStatus(service.id, service.spec_version, status),))


def _was_given_up(service: Service, slot: Slot) -> bool:
    """Whether the last update ended with the slot's old task kept, for the new one failed and might not try again."""
    last = service.update_status
    if last is None or last.completed_at is None:
        return False
    tried = [task for task in slot.tasks if is_made_during(last, service, task)]
    return bool(tried) and has_ended_by_itself(tried[-1]) and not should_restart(tried[-1], last.completed_at)


def _advance(situation: Situation, service: Service, status: UpdateStatus) -> Plan:
    is_rollback = status.state is UpdateState.ROLLBACK_STARTED
    config = default_update_config(service.spec.rollback if is_rollback else service.spec.update)
    update = Update(service, status, config, tuple(slots_of(situation.state, service)))
    verdict = update_failures.judge(situation.state, update)
    if verdict is not None:
        return Plan((verdict,))
    slots = (classify(update, slot) for slot in update.slots)
    progress = [item for item in slots if not _is_left_out(situation.state, update, item)]
    steps = [STEPS[item.phase, config.order](situation, update, item) for item in progress]
    return merged((*steps, _begin(situation, update, progress), _complete(situation, update, progress)))


def _is_given_up(situation: Situation, update: Update, item: Progress) -> bool:
    """Whether the restart policy grants the slot no other attempt: then the old task is left to serve."""
    failed = failed_attempt(update, item.slot)
    return item.phase is Phase.OUTDATED and failed is not None and not should_restart(failed, situation.now)


def _is_left_out(state: ClusterState, update: Update, item: Progress) -> bool:
    """Whether the slot's node takes no tasks and the new one is not there yet: it would hold up the update for ever."""
    is_placed = item.new is not None and item.new.status.state >= TaskState.ASSIGNED
    return item.phase is not Phase.CURRENT and not is_placed and _is_closed(state, update.service, item.slot)


def _is_closed(state: ClusterState, service: Service, slot: Slot) -> bool:
    """Whether the slot is a node, that of a global service's task, and takes no tasks now."""
    node = state.nodes.get(str(slot.key)) if is_global(service) else None
    return node is not None and not node.accepts_tasks


def classify(update: Update, slot: Slot) -> Progress:
    """The slot's phase, from its tasks alone."""
    version = update.service.spec_version
    old = tuple(task for task in slot.wanted if task.spec_version != version)
    new = next((task for task in reversed(slot.live) if task.spec_version == version), None)
    if new is None:
        is_current = not old and slot.latest.spec_version == version
        return Progress(slot, Phase.CURRENT if is_current else Phase.OUTDATED, None, old)
    if not old:
        return Progress(slot, Phase.STARTING if _is_coming_up(update, slot, new) else Phase.CURRENT, new, old)
    if new.desired_state is TaskState.READY:
        is_ready = new.status.state >= TaskState.READY
        return Progress(slot, Phase.PREPARED if is_ready else Phase.PREPARING, new, old)
    return Progress(slot, Phase.STARTED if is_serving(new) else Phase.STARTING, new, old)


def _is_coming_up(update: Update, slot: Slot, new: Task) -> bool:
    """Whether the slot's only task is about to run, and counts as being replaced until it does.

    Also when an earlier update with the same tasks made it. Not so for a task that waits for a node for reasons of
    its own, nor in a slot that has failed before: neither may hold up the update for ever.
    """
    if new.status.state is TaskState.RUNNING or failed_attempt(update, slot):
        return False
    follows = any(not task.status.state.is_terminal for task in slot.tasks[: slot.tasks.index(new)])
    return update.has_made(new) or new.status.state >= TaskState.ASSIGNED or follows


# Steps -----------------------------------------------------------------------------------------------------


def _nothing(situation: Situation, update: Update, progress: Progress) -> Plan:
    return Plan()


def _stop_old(situation: Situation, update: Update, progress: Progress) -> Plan:
    return Plan(tuple(SetDesiredState(task.id, TaskState.SHUTDOWN) for task in progress.old))


def _stop_old_in_time(situation: Situation, update: Update, progress: Progress) -> Plan:
    """A second attempt keeps the restart delay, and the old task serves until that is over."""
    if progress.new and progress.new.not_before > situation.now:
        return Plan(wake_at=progress.new.not_before)
    return _stop_old(situation, update, progress)


def _start_new(situation: Situation, update: Update, progress: Progress) -> Plan:
    if progress.new is None:
        return Plan()
    if progress.new.not_before > situation.now:
        return Plan(wake_at=progress.new.not_before)
    return Plan((SetDesiredState(progress.new.id, TaskState.RUNNING), *_stop_idle(progress)))


def _stop_what_stands_in_the_way(situation: Situation, update: Update, progress: Progress) -> Plan:
    """Stop-first: what does not serve goes at once, the rest only if the new task cannot be placed beside it.

    Also a new task that is to run already, made while the order was start-first.
    """
    new = progress.new
    if new and new.status.state is TaskState.PENDING and new.status.error:
        leaving = frozenset(task.id for task in progress.old)
        if would_fit(situation, new, without=leaving):
            return _stop_old(situation, update, progress)
    return Plan(tuple(_stop_idle(progress)))


def _stop_idle_old(situation: Situation, update: Update, progress: Progress) -> Plan:
    return Plan(tuple(_stop_idle(progress)))


def _stop_idle(progress: Progress) -> list[Action]:
    return [SetDesiredState(task.id, TaskState.SHUTDOWN) for task in progress.old if not is_serving(task)]


def _keep_one_old(situation: Situation, update: Update, progress: Progress) -> Plan:
    """An update that was overtaken may have left two: the one that serves is kept for as long as it is needed."""
    live = [task for task in progress.old if task.is_live]
    best = max(live, key=lambda task: (is_serving(task), task.status.state), default=None)
    return Plan(tuple(SetDesiredState(task.id, TaskState.SHUTDOWN) for task in live if task is not best))


_STOP, _START = UpdateOrder.STOP_FIRST, UpdateOrder.START_FIRST

STEPS: Mapping[tuple[Phase, UpdateOrder], Step] = {
    (Phase.OUTDATED, _STOP): _keep_one_old,
    (Phase.OUTDATED, _START): _keep_one_old,
    (Phase.PREPARING, _STOP): _stop_what_stands_in_the_way,
    (Phase.PREPARING, _START): _start_new,
    (Phase.PREPARED, _STOP): _stop_old_in_time,
    (Phase.PREPARED, _START): _start_new,
    (Phase.STARTING, _STOP): _stop_what_stands_in_the_way,
    (Phase.STARTING, _START): _stop_idle_old,
    (Phase.STARTED, _STOP): _stop_old,
    (Phase.STARTED, _START): _stop_old,
    (Phase.CURRENT, _STOP): _nothing,
    (Phase.CURRENT, _START): _nothing,
}
"""What a slot in a phase needs next. OUTDATED slots are taken up by `_begin`, as far as parallelism allows."""


# The whole service -----------------------------------------------------------------------------------------


def _begin(situation: Situation, update: Update, progress: list[Progress]) -> Plan:
    """Take up outdated slots while fewer than `parallelism` are under way or resting for `delay`."""
    outdated = [item for item in progress if item.phase is Phase.OUTDATED and not _is_given_up(situation, update, item)]
    if not outdated:
        return Plan()
    resting_until = [
        until for item in progress if (until := _resting_until(update, item)) is not None and until > situation.now
    ]
    free = _limit(update, len(progress)) - len(resting_until) - sum(_is_under_way(update, item) for item in progress)
    wake_at = earliest(resting_until)
    actions: list[Action] = []
    for item in sorted(outdated, key=lambda item: _urgency(update, item)):
        if free <= 0:
            break
        failed = failed_attempt(update, item.slot)
        if failed and retry_at(failed) > situation.now:
            wake_at = earliest((wake_at, retry_at(failed)))
            continue
        actions.append(CreateTask(_made_for(situation, update, item)))
        free -= 1
    return Plan(tuple(actions), wake_at)


def _limit(update: Update, slots: int) -> int:
    """How many slots may be under way. Of a service that has clients one is left to serve them, as long as it can be.

    Swarm mode takes stop-first with a parallelism of 0, or of all there are, at its word: then there is nobody to send
    requests to until the first new task is ready.
    """
    limit = update.config.parallelism or slots
    has_clients = bool(update.service.spec.ports or update.service.spec.task.networks)
    if update.config.order is UpdateOrder.STOP_FIRST and has_clients and slots > 1:
        return min(limit, slots - 1)
    return limit


def _urgency(update: Update, item: Progress) -> tuple[bool, bool]:
    """Slots that failed before come last, lest they keep the others from their turn; first those with none to lose."""
    return failed_attempt(update, item.slot) is not None, any(is_serving(task) for task in item.old)


def _made_for(situation: Situation, update: Update, item: Progress) -> Task:
    # Also when the old one is on its way out already, the new one waits for it.
    is_after = update.config.order is UpdateOrder.STOP_FIRST and any(
        not task.status.state.is_terminal and not is_lost(situation.state, task) for task in item.slot.tasks
    )
    desired = TaskState.READY if is_after else TaskState.RUNNING
    failed = failed_attempt(update, item.slot)
    attempts = attempts_with(failed, situation.now) if failed else ()
    return new_task(update.service, item.slot.key, situation.new_id, desired, restarts=attempts)


def _is_under_way(update: Update, item: Progress) -> bool:
    if item.phase in (Phase.OUTDATED, Phase.CURRENT):
        return False
    # With failures tolerated, a slot that fails again and again must not hold up the others.
    return bool(item.old) or failed_attempt(update, item.slot) is None


def _resting_until(update: Update, item: Progress) -> float | None:
    if item.phase is not Phase.CURRENT or item.new is None or not update.has_made(item.new):
        return None
    return item.new.running_since + update.config.delay


def _complete(situation: Situation, update: Update, progress: list[Progress]) -> Plan:
    """After the last slot the update is watched for one more `monitor` before it counts as completed.

    So it does, with failures tolerated, though some slots keep their old tasks for good; its message tells of them.
    """
    given_up = sum(_is_given_up(situation, update, item) for item in progress)
    if sum(item.phase is not Phase.CURRENT for item in progress) > given_up:
        return Plan()
    watched_until = max((update_failures.watched_until(update, item.slot) for item in progress), default=0.0)
    if update.config.failure_action is not FailureAction.CONTINUE and watched_until > situation.now:
        return Plan(wake_at=watched_until)
    is_rollback = update.status.state is UpdateState.ROLLBACK_STARTED
    message = "rollback completed" if is_rollback else "update completed"
    if given_up:
        message += f"; {given_up} of {len(progress)} tasks were kept, for the new ones failed"
    completed = UpdateStatus(
        state=UpdateState.ROLLBACK_COMPLETED if is_rollback else UpdateState.COMPLETED,
        started_at=update.status.started_at,
        completed_at=situation.now,
        message=message,
        failed_task_ids=update.status.failed_task_ids,
    )
    return Plan((SetUpdateStatus(update.service.id, update.service.spec_version, completed),))
