"""The agent's table of a task's life."""

import itertools

import pytest

from orchestrator.agent.task_machine import Step, next_step, resumed_state
from orchestrator.model.task import TaskState

S = TaskState
ORDERS = (S.READY, S.RUNNING, S.SHUTDOWN, S.REMOVE)
LIVE = (S.ASSIGNED, S.ACCEPTED, S.PREPARING, S.READY, S.STARTING, S.RUNNING)
TERMINAL = (S.COMPLETE, S.SHUTDOWN, S.FAILED, S.REJECTED, S.ORPHANED)


@pytest.mark.parametrize(("observed", "order"), list(itertools.product(LIVE, (S.SHUTDOWN, S.REMOVE))))
def test_a_live_task_that_is_not_wanted_is_stopped(observed: TaskState, order: TaskState) -> None:
    assert next_step(observed, order) is Step.STOP


@pytest.mark.parametrize(("observed", "order"), list(itertools.product(TERMINAL, ORDERS)))
def test_nothing_is_done_to_a_task_that_is_over(observed: TaskState, order: TaskState) -> None:
    assert next_step(observed, order) is Step.REST


def test_the_way_to_running_is_prepare_start_readiness_watch() -> None:
    steps = [next_step(state, S.RUNNING) for state in (S.ASSIGNED, S.READY, S.STARTING, S.RUNNING)]
    assert steps == [Step.PREPARE, Step.START, Step.AWAIT_READINESS, Step.AWAIT_EXIT]


def test_a_task_wanted_ready_is_prepared_and_no_more() -> None:
    assert next_step(S.ASSIGNED, S.READY) is Step.PREPARE
    assert next_step(S.READY, S.READY) is Step.REST


@pytest.mark.parametrize(
    ("assigned", "container", "resumed"),
    [
        (S.ASSIGNED, None, S.ASSIGNED),
        (S.READY, S.READY, S.READY),
        (S.READY, None, S.ASSIGNED),
        (S.RUNNING, S.STARTING, S.RUNNING),
        (S.RUNNING, None, S.FAILED),
        (S.READY, S.RUNNING, S.STARTING),
        (S.STARTING, S.RUNNING, S.STARTING),
        (S.RUNNING, S.RUNNING, S.RUNNING),
        (S.RUNNING, S.FAILED, S.FAILED),
        (S.SHUTDOWN, None, S.SHUTDOWN),
    ],
)
def test_a_restarted_agent_never_moves_a_task_back(
    assigned: TaskState, container: TaskState | None, resumed: TaskState
) -> None:
    assert resumed_state(assigned, container) is resumed
