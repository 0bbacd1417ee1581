"""The life of a task as a table: from which state to which, and who owns the arrow.

Follows swarmkit's `design/tla/Tasks.tla`: never backwards, and each source state has one owner. `apply` asks
`check_transition` before it changes a task's observed state; nothing else may decide it.
"""

from enum import StrEnum

from orchestrator.model.errors import TransitionRefused
from orchestrator.model.task import TaskState


class Owner(StrEnum):
    """The part that may draw an arrow."""

    ALLOCATOR = "allocator"
    SCHEDULER = "scheduler"
    AGENT = "agent"
    LIVENESS = "liveness"
    """The managers themselves, when a task's node will never report again or never had it."""


_S = TaskState
_AGENT_STATES = (_S.ASSIGNED, _S.ACCEPTED, _S.PREPARING, _S.READY, _S.STARTING, _S.RUNNING)
_ENDED = (_S.COMPLETE, _S.SHUTDOWN, _S.FAILED)


def _agent_arrows(source: TaskState) -> dict[TaskState, Owner]:
    onward = [state for state in _AGENT_STATES if state > source]
    # A task that fails before it was started is rejected; after that it has failed.
    ends = _ENDED if source >= _S.STARTING else (*_ENDED, _S.REJECTED)
    return dict.fromkeys((*onward, *ends), Owner.AGENT)


TRANSITIONS: dict[TaskState, dict[TaskState, Owner]] = {
    _S.NEW: {_S.PENDING: Owner.ALLOCATOR},
    _S.PENDING: {_S.ASSIGNED: Owner.SCHEDULER},
    **{source: _agent_arrows(source) for source in _AGENT_STATES},
}
"""Arrows an owner may draw. A report may skip states: the agent sends only the last of a quick run."""

_BY_LIVENESS = {
    **dict.fromkeys((_S.NEW, _S.PENDING), (_S.SHUTDOWN,)),
    **dict.fromkeys(_AGENT_STATES, (_S.SHUTDOWN, _S.ORPHANED)),
}


def check_transition(before: TaskState, after: TaskState, owner: Owner) -> None:
    """Raise `TransitionRefused` unless `owner` may move a task from `before` to `after`.

    Staying in a state is allowed to its agent: a report may only renew the message.
    """
    if owner is Owner.LIVENESS and after in _BY_LIVENESS.get(before, ()):
        return
    if owner is Owner.AGENT and before == after and before >= TaskState.ASSIGNED:
        return
    if TRANSITIONS.get(before, {}).get(after) is not owner:
        raise TransitionRefused(f"task: {owner} may not move {before.name.lower()} to {after.name.lower()}")
