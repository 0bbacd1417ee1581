"""The invariants are worth something: a bug that is planted in the deciders breaks a history."""

from collections.abc import Callable

import pytest

from orchestrator.control import rolling_update, withdrawal
from orchestrator.control.rolling_update import STEPS, Phase
from orchestrator.model.service import UpdateOrder
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state import apply_task
from orchestrator.state.actions import ReportTaskStatus
from orchestrator.state.apply import HANDLERS
from orchestrator.state.change import Change
from tests.simulation.histories import trouble_in

HISTORIES = 60
"""Twice as many as most of the bugs need."""


def stop_before_the_drain_is_over(patch: pytest.MonkeyPatch) -> None:
    def ordered_state(task: Task) -> TaskState:
        told = task.is_wanted or task.endpoint in (EndpointState.DRAINING, EndpointState.RELEASED)
        return task.desired_state if told else TaskState.RUNNING

    patch.setattr(Task, "ordered_state", property(ordered_state))


def stop_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Task, "ordered_state", property(lambda task: task.desired_state))


def take_one_acknowledgement_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        withdrawal,
        "_is_acknowledged",
        lambda task, live: any(seen is not None and seen.revision >= task.withdrawn_revision for seen in live),
    )


def see_no_connections(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(withdrawal, "_flows", lambda seen, task: 0)


def serve_before_ready(patch: pytest.MonkeyPatch) -> None:
    report = apply_task.report_task_status

    def report_and_serve(change: Change, action: ReportTaskStatus) -> None:
        report(change, action)
        task = change.state.task(action.task_id)
        if task.status.state is TaskState.STARTING and task.endpoint is EndpointState.ABSENT:
            apply_task._put(change, task, endpoint=EndpointState.SERVING)

    patch.setitem(HANDLERS, ReportTaskStatus, report_and_serve)


def stop_the_old_before_the_new_serves(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(
        STEPS,  # a mapping to all but this test
        (Phase.STARTING, UpdateOrder.START_FIRST),
        rolling_update._stop_old,
    )


def stop_what_is_unhealthy_at_once(patch: pytest.MonkeyPatch) -> None:
    report = apply_task.report_task_status

    def report_as_ended(change: Change, action: ReportTaskStatus) -> None:
        report(change, action)
        task = change.state.task(action.task_id)
        if action.status.still_runs:
            apply_task._put(change, task, endpoint=EndpointState.RELEASED)

    patch.setitem(HANDLERS, ReportTaskStatus, report_as_ended)


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], str, int]] = [
    (stop_before_the_drain_is_over, "has connections to it", 0),
    (stop_at_once, "sends to it", 0),
    (take_one_acknowledgement_for_all, "sends to it", 0),
    (see_no_connections, "has connections to it", 0),
    (serve_before_ready, "serves while it is starting", 0),
    (stop_the_old_before_the_new_serves, "promised are", 0),
    # One history in a hundred shows it: a task has to turn unhealthy between two words of a node that is slow.
    (stop_what_is_unhealthy_at_once, "sends to it", 140),
]


@pytest.mark.parametrize(("plant", "words", "first"), PLANTED, ids=lambda value: getattr(value, "__name__", ""))
def test_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], words: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    trouble = next(filter(None, map(trouble_in, range(first, first + HISTORIES))), "")
    assert words in trouble
