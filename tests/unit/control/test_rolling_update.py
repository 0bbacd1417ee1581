"""The updater, step by step, on one service whose tasks obey the test."""

from dataclasses import replace

import pytest

from orchestrator.control import rolling_update
from orchestrator.control.rolling_update import STEPS, Phase
from orchestrator.model.node import Availability
from orchestrator.model.service import (
    DEFAULT_RESTART_DELAY_S,
    FailureAction,
    PortConfig,
    PublishMode,
    ServiceMode,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
)
from orchestrator.model.task import EndpointState, TaskState
from orchestrator.state.actions import RollbackService, UpdateNodeSpec, UpdateService
from tests.builders import Scene, a_node
from tests.unit.control.rollout import Rollout, state_of


def test_every_phase_and_order_has_a_step() -> None:
    assert set(STEPS) == {(phase, order) for phase in Phase for order in UpdateOrder}


def test_stop_first_prepares_the_new_task_before_it_withdraws_the_old() -> None:
    rollout = Rollout(UpdateConfig())
    old_version = rollout.service.spec_version
    rollout.update()
    new, old = rollout.named(1), rollout.named(1, old_version)
    assert (new.desired_state, old.desired_state) == (TaskState.READY, TaskState.RUNNING)
    rollout.report(new, TaskState.READY)
    assert rollout.named(1, old_version).endpoint is EndpointState.RELEASED
    assert rollout.named(1).desired_state is TaskState.READY
    rollout.report(old, TaskState.SHUTDOWN)
    assert rollout.named(1).desired_state is TaskState.RUNNING


def test_start_first_withdraws_the_old_task_only_when_the_new_one_runs() -> None:
    rollout = Rollout(UpdateConfig(order=UpdateOrder.START_FIRST))
    old_version = rollout.service.spec_version
    rollout.update()
    assert rollout.named(1).desired_state is TaskState.RUNNING
    rollout.report(rollout.named(1), TaskState.STARTING)
    assert rollout.named(1, old_version).is_wanted
    rollout.report(rollout.named(1), TaskState.RUNNING)
    assert not rollout.named(1, old_version).is_wanted


@pytest.mark.parametrize(("parallelism", "expected"), [(1, 1), (2, 2), (0, 3)])
def test_parallelism_bounds_the_slots_under_way(parallelism: int, expected: int) -> None:
    rollout = Rollout(UpdateConfig(parallelism=parallelism))
    rollout.update()
    assert sum(task.spec_version == rollout.service.spec_version for task in rollout.tasks()) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [(UpdateOrder.STOP_FIRST, 2), (UpdateOrder.START_FIRST, 3)],
    ids=["stop-first", "start-first"],
)
def test_one_slot_is_left_to_serve_the_clients(order: UpdateOrder, expected: int) -> None:
    rollout = Rollout(UpdateConfig(parallelism=0, order=order), ports=(PortConfig(80, 8080),))
    rollout.update()
    assert sum(task.spec_version == rollout.service.spec_version for task in rollout.tasks()) == expected


def test_the_next_slot_waits_for_the_delay() -> None:
    rollout = Rollout(UpdateConfig(delay=10.0))
    old_version = rollout.service.spec_version
    rollout.update()
    rollout.replace_slot(1, old_version)
    assert rollout.settle() == rollout.scene.now + 10.0
    rollout.wait(9.9)
    assert len(rollout.tasks()) == 4
    rollout.wait(0.1)
    assert len(rollout.tasks()) == 5


def test_completes_one_monitor_after_the_last_slot() -> None:
    rollout = Rollout(UpdateConfig(monitor=5.0))
    old_version = rollout.service.spec_version
    rollout.update()
    for slot in (1, 2, 3):
        rollout.replace_slot(slot, old_version)
    rollout.wait(4.9)
    assert state_of(rollout) is UpdateState.UPDATING
    rollout.wait(0.1)
    status = rollout.service.update_status
    assert status is not None
    assert (status.state, status.message) == (UpdateState.COMPLETED, "update completed")
    assert status.completed_at == rollout.scene.now


def test_an_update_back_to_what_ran_before_leaves_alone_what_still_runs_it() -> None:
    rollout = Rollout(UpdateConfig())
    old_version = rollout.service.spec_version
    untouched = [rollout.named(slot).id for slot in (2, 3)]
    rollout.update()
    rollout.replace_slot(1, old_version)
    rollout.update("web:1")
    assert rollout.service.spec_version == old_version
    rollout.play()
    running = [task for task in rollout.tasks() if task.is_live]
    assert {task.spec.container.image for task in running} == {"web:1"}
    assert [rollout.named(slot).id for slot in (2, 3)] == untouched


def images(rollout: Rollout) -> list[str]:
    """What runs on each node."""
    live = [task for task in rollout.tasks() if task.is_live]
    return [task.spec.container.image for task in sorted(live, key=lambda task: task.node_id)]


def set_availability(rollout: Rollout, availability: Availability) -> None:
    """Of the first node."""
    node = rollout.scene.state.node("n1")
    rollout.scene.apply(UpdateNodeSpec("n1", node.version, replace(node.spec, availability=availability)))
    rollout.settle()


@pytest.mark.parametrize("order", UpdateOrder)
@pytest.mark.parametrize("parallelism", [0, 1, 2])
def test_an_update_leaves_a_paused_node_out_until_it_takes_tasks_again(order: UpdateOrder, parallelism: int) -> None:
    rollout = Rollout(UpdateConfig(order=order, parallelism=parallelism, monitor=0.0), mode=ServiceMode.GLOBAL)

    set_availability(rollout, Availability.PAUSE)
    rollout.update()
    rollout.play()
    rollout.wait(1.0)
    assert images(rollout) == ["web:1", "web:2", "web:2"]
    assert state_of(rollout) is UpdateState.COMPLETED

    set_availability(rollout, Availability.ACTIVE)
    rollout.play()
    rollout.wait(1.0)
    assert images(rollout) == ["web:2"] * 3
    assert state_of(rollout) is UpdateState.COMPLETED


def test_a_node_that_was_paused_after_a_failed_attempt_is_tried_again() -> None:
    config = UpdateConfig(parallelism=0, order=UpdateOrder.START_FIRST, failure_action=FailureAction.CONTINUE)
    rollout = Rollout(config, mode=ServiceMode.GLOBAL)
    rollout.update()
    (attempt,) = (task for task in rollout.tasks() if task.node_id == "n1" and task.spec.container.image == "web:2")
    rollout.report(attempt, TaskState.FAILED)
    set_availability(rollout, Availability.PAUSE)
    rollout.play()
    assert images(rollout) == ["web:1", "web:2", "web:2"]
    assert state_of(rollout) is UpdateState.COMPLETED

    set_availability(rollout, Availability.ACTIVE)
    rollout.wait(DEFAULT_RESTART_DELAY_S)
    rollout.play()
    assert images(rollout) == ["web:2"] * 3
    assert state_of(rollout) is UpdateState.COMPLETED


def test_a_newer_spec_takes_over_and_no_slot_is_left_with_two_tasks() -> None:
    rollout = Rollout(UpdateConfig())
    first_version = rollout.service.spec_version
    rollout.update("web:2")
    second = rollout.named(1)
    rollout.update("web:3")
    assert not rollout.scene.state.task(second.id).is_wanted
    rollout.replace_slot(1, first_version)
    assert [task.spec_version for task in rollout.tasks() if task.slot == 1 and task.is_live] == [
        rollout.service.spec_version
    ]


@pytest.mark.parametrize("mode", [ServiceMode.REPLICATED, ServiceMode.GLOBAL])
def test_start_first_that_found_no_room_goes_on_when_the_order_becomes_stop_first(mode: ServiceMode) -> None:
    port = PortConfig(80, 8080, publish_mode=PublishMode.HOST)
    rollout = Rollout(UpdateConfig(order=UpdateOrder.START_FIRST), ports=(port,), mode=mode)
    rollout.update()
    rollout.play()
    new = [task for task in rollout.tasks() if task.spec_version == rollout.service.spec_version]
    assert [task.status.state for task in new] == [TaskState.PENDING]
    assert "host-mode port already in use" in new[0].status.error

    stop_first = replace(rollout.service.spec, update=UpdateConfig(monitor=0.0))
    rollout.scene.apply(UpdateService("web-id", rollout.service.version, stop_first))
    rollout.settle()
    rollout.play()
    rollout.wait(1.0)

    assert state_of(rollout) is UpdateState.COMPLETED
    live = [task for task in rollout.tasks() if task.is_live]
    assert {task.spec_version for task in live} == {rollout.service.spec_version}
    assert len(live) == 3


def test_an_update_of_no_tasks_completes_at_once() -> None:
    rollout = Rollout(UpdateConfig(), replicas=0)
    rollout.update()
    assert rollout.service.update_status is None


def test_reconcile_rests_without_updates() -> None:
    assert rolling_update.reconcile(Scene([a_node("n1")]).situation).actions == ()


def test_a_rollback_goes_by_its_own_settings() -> None:
    rollback = UpdateConfig(parallelism=2, delay=30.0, order=UpdateOrder.START_FIRST)
    rollout = Rollout(UpdateConfig(monitor=0.0), rollback=rollback)
    first_version = rollout.service.spec_version
    rollout.update()
    rollout.play()
    rollout.wait(1.0)
    assert state_of(rollout) is UpdateState.COMPLETED

    rollout.scene.apply(RollbackService("web-id", rollout.service.version))
    rollout.settle()

    def returning() -> list[tuple[int, TaskState]]:
        live = [task for task in rollout.tasks() if task.is_live and task.spec_version == first_version]
        return [(task.slot, task.desired_state) for task in live]

    two = [(1, TaskState.RUNNING), (2, TaskState.RUNNING)]
    assert returning() == two
    assert sum(task.endpoint is EndpointState.SERVING for task in rollout.tasks()) == 3
    rollout.play()
    rollout.wait(29.9)
    assert returning() == two
    rollout.wait(0.1)
    assert returning() == [*two, (3, TaskState.RUNNING)]
