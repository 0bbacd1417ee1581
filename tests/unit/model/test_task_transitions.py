"""The table of a task's life."""

import itertools

import pytest

from orchestrator.model.errors import TransitionRefused
from orchestrator.model.task import TaskState
from orchestrator.model.task_transitions import TRANSITIONS, Owner, check_transition

S = TaskState


@pytest.mark.parametrize(("before", "after"), list(itertools.product(S, S)))
def test_no_owner_moves_a_task_backwards(before: TaskState, after: TaskState) -> None:
    if after >= before:
        return
    for owner in Owner:
        with pytest.raises(TransitionRefused):
            check_transition(before, after, owner)


@pytest.mark.parametrize(
    ("before", "after", "owner"),
    [
        (S.NEW, S.PENDING, Owner.ALLOCATOR),
        (S.PENDING, S.ASSIGNED, Owner.SCHEDULER),
        (S.ASSIGNED, S.RUNNING, Owner.AGENT),
        (S.RUNNING, S.RUNNING, Owner.AGENT),
        (S.PREPARING, S.REJECTED, Owner.AGENT),
        (S.RUNNING, S.COMPLETE, Owner.AGENT),
        (S.NEW, S.SHUTDOWN, Owner.LIVENESS),
        (S.RUNNING, S.ORPHANED, Owner.LIVENESS),
    ],
)
def test_allowed(before: TaskState, after: TaskState, owner: Owner) -> None:
    check_transition(before, after, owner)


@pytest.mark.parametrize(
    ("before", "after", "owner"),
    [
        (S.NEW, S.PENDING, Owner.AGENT),
        (S.PENDING, S.ASSIGNED, Owner.AGENT),
        (S.PENDING, S.ORPHANED, Owner.LIVENESS),
        (S.RUNNING, S.REJECTED, Owner.AGENT),
        (S.FAILED, S.RUNNING, Owner.AGENT),
        (S.SHUTDOWN, S.ORPHANED, Owner.LIVENESS),
    ],
)
def test_refused(before: TaskState, after: TaskState, owner: Owner) -> None:
    with pytest.raises(TransitionRefused):
        check_transition(before, after, owner)


def test_nothing_leaves_an_end() -> None:
    assert not any(state.is_terminal for state in TRANSITIONS)
