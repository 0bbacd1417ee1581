"""A service of three tasks whose update the test leads step by step, playing the nodes."""

from dataclasses import replace

from orchestrator.control import loop
from orchestrator.model.service import PortConfig, Service, ServiceMode, UpdateConfig, UpdateState
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state.actions import UpdateService
from tests.builders import Scene, a_node, a_spec


class Rollout:
    """A service of three running tasks on three nodes; the test plays the nodes."""

    def __init__(
        self,
        config: UpdateConfig,
        replicas: int = 3,
        ports: tuple[PortConfig, ...] = (),
        mode: ServiceMode = ServiceMode.REPLICATED,
        rollback: UpdateConfig | None = None,
    ) -> None:
        self.scene = Scene([a_node(name) for name in ("n1", "n2", "n3")])
        rollback = rollback or UpdateConfig(monitor=2.0)
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
