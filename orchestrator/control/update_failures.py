"""Which failures count against an update, and what they do to it.

A failure is a task of this update that ended before it ran, or within `monitor` of running; each slot counts once.
Counted ids are kept in the replicated status, so that a new leader counts on.
"""

from dataclasses import dataclass, replace

from orchestrator.control.slots import Slot, has_ended_by_itself
from orchestrator.model.errors import ClusterError
from orchestrator.model.service import FailureAction, Service, ServiceSpec, UpdateConfig, UpdateState, UpdateStatus
from orchestrator.model.task import Task
from orchestrator.state.actions import RollbackService, SetUpdateStatus
from orchestrator.state.apply_service import check_references
from orchestrator.state.cluster_state import ClusterState


@dataclass(frozen=True, slots=True)
class Update:
    """A running update or rollback."""

    service: Service
    status: UpdateStatus
    config: UpdateConfig
    slots: tuple[Slot, ...]

    def has_made(self, task: Task) -> bool:
        """Whether the task was made by, or during, this update."""
        return is_made_during(self.status, self.service, task)


def is_made_during(status: UpdateStatus, service: Service, task: Task) -> bool:
    """Whether the task is of the service's present spec, and was made since its update with this status began."""
    return task.spec_version == service.spec_version and task.created_at >= status.started_at


def failed_attempt(update: Update, slot: Slot) -> Task | None:
    """The slot's last attempt at the present spec that can be judged, if it has failed since this update began.

    What was withdrawn before it ran says nothing. Nor does what failed before: who returns to a version that once
    crashed, and ran well afterwards, is as careful with its slots as with any other's.
    """
    for task in reversed(slot.tasks):
        if task.spec_version != update.service.spec_version or task.state_since < update.status.started_at:
            continue
        if _ended_early(update, task):
            return task
        if task.running_since:
            return None
    return None


def judge(state: ClusterState, update: Update) -> SetUpdateStatus | RollbackService | None:
    """What failures that were not counted yet do: noted, or the update stops. None when there are none.

    All at once: in the same decision the restart hides them behind their replacements.
    """
    if update.config.failure_action is FailureAction.CONTINUE:
        return None
    failed = [task for slot in update.slots for task in _uncounted(update, slot)]
    if not failed:
        return None
    failed_ids = (*update.status.failed_task_ids, *(task.id for task in failed))
    if len(failed_ids) / max(_slots_concerned(update), 1) <= update.config.max_failure_ratio:
        return _status(update, replace(update.status, failed_task_ids=failed_ids))
    return _stop(state, update, failed[-1], failed_ids)


def watched_until(update: Update, slot: Slot) -> float:
    """End of the monitoring period of the slot's task of this update, seconds since the epoch; 0.0 if none is."""
    # A delay that is no shorter than `monitor` would hide the last slot's failures: swarmkit adds a second to it.
    monitor, delay = update.config.monitor_in_force, update.config.delay
    period = monitor if delay < monitor else delay + 1
    return max((task.running_since + period for task in slot.tasks if update.has_made(task)), default=0.0)


def _uncounted(update: Update, slot: Slot) -> list[Task]:
    """The slot's first failure, if it awaits the restart's verdict and none of the slot's was counted before."""
    if any(task.id in update.status.failed_task_ids for task in slot.tasks):
        return []
    return [task for task in slot.wanted if update.has_made(task) and _ended_early(update, task)][:1]


def _ended_early(update: Update, task: Task) -> bool:
    """Whether the task ended by itself before it ran, or within `monitor` of running."""
    if not has_ended_by_itself(task):
        return False
    return not task.running_since or task.state_since - task.running_since <= update.config.monitor_in_force


def _slots_concerned(update: Update) -> int:
    version = update.service.spec_version
    return sum(
        any(update.has_made(task) or (task.is_wanted and task.spec_version != version) for task in slot.tasks)
        for slot in update.slots
    )


def _stop(
    state: ClusterState, update: Update, failed: Task, failed_ids: tuple[str, ...]
) -> SetUpdateStatus | RollbackService:
    service, status = update.service, update.status
    reason = f"due to failure or early termination of task {failed.id}"
    is_update = status.state is UpdateState.UPDATING
    previous = service.previous_spec
    # A rollback is never rolled back, nor is there a way back when the previous spec has the same tasks.
    has_way_back = is_update and service.previous_spec_version != service.spec_version
    if update.config.failure_action is FailureAction.ROLLBACK and has_way_back and previous is not None:
        obstacle = _obstacle(state, previous, service.id)
        if obstacle is None:
            between = (service.spec_version, service.previous_spec_version)
            return RollbackService(service.id, between=between, message=f"update rolled back {reason}")
        reason = f"{reason}; it cannot be rolled back: {obstacle}"
    what, paused = ("update", UpdateState.PAUSED) if is_update else ("rollback", UpdateState.ROLLBACK_PAUSED)
    return _status(update, replace(status, state=paused, message=f"{what} paused {reason}", failed_task_ids=failed_ids))


def _obstacle(state: ClusterState, previous: ServiceSpec, service_id: str) -> str | None:
    """Why the service cannot return to its previous spec: what it names may be gone, or another service's now."""
    try:
        check_references(state, previous, service_id)
    except ClusterError as refusal:
        return str(refusal)
    return None


def _status(update: Update, status: UpdateStatus) -> SetUpdateStatus:
    return SetUpdateStatus(update.service.id, update.service.spec_version, status)
