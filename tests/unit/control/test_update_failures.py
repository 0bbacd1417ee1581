"""What tasks that fail do to the update that made them, on one service whose tasks obey the test."""

from dataclasses import replace

import pytest

from orchestrator.model.service import (
    FailureAction,
    PortConfig,
    RestartCondition,
    RestartPolicy,
    ServiceMode,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
)
from orchestrator.model.task import EndpointState, TaskState
from orchestrator.state.actions import RollbackService, UpdateService
from tests.builders import a_spec
from tests.unit.control.rollout import Rollout, state_of


def test_a_rejected_task_pauses_the_update_and_the_old_one_runs_on() -> None:
    rollout = Rollout(UpdateConfig())
    old_version = rollout.service.spec_version
    rollout.update("no-such-image")
    bad = rollout.named(1)
    rollout.report(bad, TaskState.REJECTED)
    status = rollout.service.update_status
    assert status is not None
    assert status.state is UpdateState.PAUSED
    assert status.message == f"update paused due to failure or early termination of task {bad.id}"
    old = [task for task in rollout.tasks() if task.spec_version == old_version]
    assert all(task.is_live for task in old)


def test_a_paused_update_goes_on_when_it_is_asked_for_again() -> None:
    rollout = Rollout(UpdateConfig())
    old_version = rollout.service.spec_version
    rollout.update("no-such-image")
    rollout.report(rollout.named(1), TaskState.REJECTED)
    rollout.update("web:3")
    rollout.replace_slot(1, old_version)
    assert state_of(rollout) is UpdateState.UPDATING
    assert rollout.named(2).desired_state is TaskState.READY


def test_a_failure_within_monitor_rolls_back_and_the_old_spec_returns() -> None:
    rollout = Rollout(UpdateConfig(failure_action=FailureAction.ROLLBACK))
    old_version = rollout.service.spec_version
    rollout.update()
    rollout.replace_slot(1, old_version)
    rollout.wait(1.0)
    failed = rollout.named(1)
    rollout.report(failed, TaskState.FAILED)
    status = rollout.service.update_status
    assert rollout.service.spec_version == old_version
    assert status is not None
    assert status.state is UpdateState.ROLLBACK_STARTED
    assert status.message == f"update rolled back due to failure or early termination of task {failed.id}"


def test_an_update_that_cannot_be_rolled_back_is_paused_and_says_why() -> None:
    rollout = Rollout(UpdateConfig(failure_action=FailureAction.ROLLBACK), ports=(PortConfig(80, 8080),))
    old_version = rollout.service.spec_version
    unpublished = replace(rollout.service.spec, endpoint=None)
    rollout.scene.apply(UpdateService("web-id", rollout.service.version, unpublished))
    rollout.settle()
    rollout.scene.create(a_spec("other", ports=(PortConfig(80, 8080),)))
    rollout.replace_slot(1, old_version)
    failed = rollout.named(1)
    rollout.report(failed, TaskState.FAILED)
    status = rollout.service.update_status
    assert status is not None
    assert status.state is UpdateState.PAUSED
    assert status.message == (
        f"update paused due to failure or early termination of task {failed.id}; it cannot be rolled back: "
        "port '8080' is already in use by service 'other' (other-id)"
    )


def test_a_rollback_that_fails_is_paused_and_never_rolled_back() -> None:
    config = UpdateConfig(failure_action=FailureAction.ROLLBACK)
    rollout = Rollout(config)
    rollout.spec = replace(rollout.spec, rollback=config)
    first_version = rollout.service.spec_version
    rollout.update()
    rollout.replace_slot(1, first_version)
    rollout.scene.apply(RollbackService("web-id"))
    rollout.settle()
    second_version = max(task.spec_version for task in rollout.tasks())
    rollout.report(rollout.named(1), TaskState.READY)
    rollout.report(rollout.named(1, second_version), TaskState.SHUTDOWN)
    rollout.report(rollout.named(1), TaskState.FAILED)
    assert state_of(rollout) is UpdateState.ROLLBACK_PAUSED


def test_a_failure_after_monitor_does_not_count() -> None:
    rollout = Rollout(UpdateConfig(monitor=5.0))
    old_version = rollout.service.spec_version
    rollout.update()
    rollout.replace_slot(1, old_version)
    rollout.wait(5.1)
    rollout.report(rollout.named(1), TaskState.FAILED)
    assert state_of(rollout) is UpdateState.UPDATING


def test_failures_up_to_the_ratio_are_noted_and_tolerated() -> None:
    rollout = Rollout(UpdateConfig(max_failure_ratio=0.4))
    rollout.update()
    first = rollout.named(1)
    rollout.report(first, TaskState.REJECTED)
    status = rollout.service.update_status
    assert status is not None
    assert (status.state, status.failed_task_ids) == (UpdateState.UPDATING, (first.id,))
    rollout.report(rollout.named(2), TaskState.REJECTED)
    assert state_of(rollout) is UpdateState.PAUSED


def test_continue_goes_on_with_the_other_slots_and_tries_again_after_the_restart_delay() -> None:
    rollout = Rollout(UpdateConfig(failure_action=FailureAction.CONTINUE))
    rollout.update()
    rollout.report(rollout.named(1), TaskState.REJECTED)
    assert rollout.named(2).status.state is TaskState.ASSIGNED
    rollout.report(rollout.named(2), TaskState.REJECTED)
    rollout.report(rollout.named(3), TaskState.REJECTED)
    count = len(rollout.tasks())
    rollout.wait(4.9)
    assert len(rollout.tasks()) == count
    rollout.wait(0.1)
    assert len(rollout.tasks()) == count + 1


def test_the_way_back_to_a_version_that_once_crashed_takes_one_slot_at_a_time() -> None:
    rollout = Rollout(UpdateConfig(monitor=1.0), ports=(PortConfig(80, 8080),))
    first_version = rollout.service.spec_version
    for slot in (1, 2, 3):
        rollout.report(rollout.named(slot), TaskState.FAILED)
    rollout.wait(5.0)
    rollout.play()
    rollout.wait(60.0)
    rollout.update()
    rollout.play()
    rollout.wait(60.0)
    rollout.play()
    assert state_of(rollout) is UpdateState.COMPLETED
    assert {task.spec_version for task in rollout.tasks() if task.is_live} == {rollout.service.spec_version}

    rollout.scene.apply(RollbackService("web-id", rollout.service.version))
    rollout.settle()
    for slot in (1, 2, 3):
        if rollout.named(slot).is_live:
            rollout.report(rollout.named(slot), TaskState.READY)
    assert rollout.service.spec_version == first_version
    assert sum(task.endpoint is EndpointState.SERVING for task in rollout.tasks()) == 2


def test_failures_that_arrive_together_count_each() -> None:
    config = UpdateConfig(parallelism=3, max_failure_ratio=0.5, order=UpdateOrder.START_FIRST)
    rollout = Rollout(config)
    rollout.update()
    new = [rollout.named(slot) for slot in (1, 2, 3)]
    for task in new:
        rollout.scene.report(task.id, TaskState.REJECTED)
    rollout.settle()
    status = rollout.service.update_status
    assert status is not None
    assert status.state is UpdateState.PAUSED
    assert set(status.failed_task_ids) == {task.id for task in new}


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        (RestartPolicy(RestartCondition.NONE), 1),
        (RestartPolicy(RestartCondition.ANY, delay=1.0, max_attempts=2), 3),
    ],
    ids=["none", "two more"],
)
@pytest.mark.parametrize("mode", [ServiceMode.REPLICATED, ServiceMode.GLOBAL])
def test_an_update_that_goes_on_ends_when_the_restart_policy_grants_no_other_attempt(
    policy: RestartPolicy, attempts: int, mode: ServiceMode
) -> None:
    rollout = Rollout(UpdateConfig(failure_action=FailureAction.CONTINUE), mode=mode)
    rollout.spec = replace(rollout.spec, task=replace(rollout.spec.task, restart=policy))
    old = {task.id for task in rollout.tasks()}
    rollout.update()
    rejected = 0
    for _ in range(30):
        for task in rollout.tasks():
            if task.is_live and task.id not in old:
                rollout.report(task, TaskState.REJECTED)
                rejected += 1
        rollout.wait(1.0)
    assert rejected == 3 * attempts
    status = rollout.service.update_status
    assert status is not None
    assert status.state is UpdateState.COMPLETED
    assert status.message == "update completed; 3 of 3 tasks were kept, for the new ones failed"
    assert {task.id for task in rollout.tasks() if task.is_live} == old
