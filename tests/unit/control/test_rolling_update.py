"""The updater, step by step, on one service whose tasks obey the test."""

from dataclasses import replace

import pytest

from orchestrator.control import loop, rolling_update
from orchestrator.control.rolling_update import STEPS, Phase
from orchestrator.model.node import Availability
from orchestrator.model.service import (
    FailureAction,
    PortConfig,
    RestartCondition,
    RestartPolicy,
    Service,
    ServiceMode,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
)
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state.actions import RollbackService, UpdateNodeSpec, UpdateService
from tests.builders import Scene, a_node, a_spec


class Rollout:
    """A service of three running tasks on three nodes; the test plays the nodes."""

    def __init__(
        self,
        config: UpdateConfig,
        replicas: int = 3,
        ports: tuple[PortConfig, ...] = (),
        mode: ServiceMode = ServiceMode.REPLICATED,
    ) -> None:
        self.scene = Scene([a_node(name) for name in ("n1", "n2", "n3")])
        rollback = UpdateConfig(monitor=2.0)
        self.spec = a_spec(replicas=replicas, mode=mode, update=config, rollback=rollback, ports=ports)
        self.scene.create(self.spec)
        self.settle()
        for task in self.tasks():
            self.scene.report(task.id, TaskState.RUNNING)
        self.settle()

    @property
    def service(self) -> Service:
        return self.scene.state.service("web-id")

    def tasks(self) -> list[Task]:
        return self.scene.state.tasks_of_service("web-id")

    def named(self, slot: int, version: int | None = None) -> Task:
        version = self.service.spec_version if version is None else version
        return next(t for t in reversed(self.tasks()) if (t.slot, t.spec_version) == (slot, version))

    def settle(self) -> float | None:
        """Commit plans until there is nothing to do; all nodes have heard of everything."""
        for _ in range(10):
            self.scene.hear()
            plan = loop.reconcile(self.scene.situation)
            if not plan.actions:
                return plan.wake_at
            self.scene.apply(*plan.actions)
        raise AssertionError("the deciders never rest")

    def update(self, image: str = "web:2") -> None:
        container = replace(self.spec.task.container, image=image)
        spec = replace(self.service.spec, task=replace(self.spec.task, container=container))
        self.scene.apply(UpdateService("web-id", self.service.version, spec))
        self.settle()

    def report(self, task: Task, state: TaskState) -> None:
        self.scene.report(task.id, state)
        self.settle()

    def wait(self, seconds: float) -> None:
        self.scene.now += seconds
        self.settle()

    def play(self) -> None:
        """Let every node do at once what it is told, until nothing more happens."""
        for _ in range(50):
            for task in self.tasks():
                done = task.status.state
                if task.desired_state is TaskState.SHUTDOWN and task.endpoint is EndpointState.RELEASED:
                    done = TaskState.SHUTDOWN
                elif task.is_live and task.status.state >= TaskState.ASSIGNED:
                    done = task.desired_state
                if done > task.status.state and not task.status.state.is_terminal:
                    self.report(task, done)
                    break
            else:
                return
        raise AssertionError("the tasks never rest")

    def replace_slot(self, slot: int, old_version: int) -> None:
        """Play a whole stop-first replacement."""
        self.report(self.named(slot), TaskState.READY)
        self.report(self.named(slot, old_version), TaskState.SHUTDOWN)
        self.report(self.named(slot), TaskState.RUNNING)


def state_of(rollout: Rollout) -> UpdateState:
    status = rollout.service.update_status
    assert status is not None
    return status.state


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


@pytest.mark.parametrize("order", UpdateOrder)
@pytest.mark.parametrize("parallelism", [0, 1, 2])
def test_an_update_leaves_a_paused_node_out_until_it_takes_tasks_again(order: UpdateOrder, parallelism: int) -> None:
    rollout = Rollout(UpdateConfig(order=order, parallelism=parallelism, monitor=0.0), mode=ServiceMode.GLOBAL)

    def images() -> list[str]:
        live = [task for task in rollout.tasks() if task.is_live]
        return [task.spec.container.image for task in sorted(live, key=lambda task: task.node_id)]

    def set_availability(availability: Availability) -> None:
        node = rollout.scene.state.node("n1")
        rollout.scene.apply(UpdateNodeSpec("n1", node.version, replace(node.spec, availability=availability)))
        rollout.settle()

    set_availability(Availability.PAUSE)
    rollout.update()
    rollout.play()
    rollout.wait(1.0)
    assert images() == ["web:1", "web:2", "web:2"]
    assert state_of(rollout) is UpdateState.COMPLETED

    set_availability(Availability.ACTIVE)
    rollout.play()
    rollout.wait(1.0)
    assert images() == ["web:2"] * 3
    assert state_of(rollout) is UpdateState.COMPLETED


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


def test_an_update_of_no_tasks_completes_at_once() -> None:
    rollout = Rollout(UpdateConfig(), replicas=0)
    rollout.update()
    assert rollout.service.update_status is None


def test_reconcile_rests_without_updates() -> None:
    assert rolling_update.reconcile(Scene([a_node("n1")]).situation).actions == ()


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
