"""A node in the simulation: the agent's real task table over invented containers, and a kernel that routes as told.

Everything random comes from the cluster's generator, so a seed repeats a history.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from orchestrator.agent.task_machine import Step, next_step, resumed_state
from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.session import Assignments, Flows, Heartbeat, StatusReport
from orchestrator.model.task import EndpointState, Task, TaskState, TaskStatus
from orchestrator.testing.simulated_clock import SimulatedClock

BAD_IMAGE = "bad"
"""Every task of it is rejected."""
CRASHING_IMAGE = "crashing"
"""Every task of it fails soon after it runs."""


@dataclass(slots=True)
class Conditions:
    """How rough life is on a node; probabilities in 0..1, times in seconds."""

    failure: float = 0.0
    """Chance of a task to be rejected, to fail at its start, or to crash or turn unhealthy within a minute: each."""
    slow_pull: float = 0.0
    """Chance that an image takes up to 200 seconds to come."""
    slow_network: float = 0.0
    """Chance of the kernel to take up to half a minute for a configuration."""
    longest_connection: float = 3.0
    """Connections to a withdrawn task end within this time."""


@dataclass(slots=True)
class _Container:
    task: Task
    state: TaskState
    busy: bool = False
    generation: int = 0
    """Raised with every step: what an interrupted wait had in mind no longer holds."""
    awaited: Step | None = None
    still_runs: bool = False
    """It failed by its health, and is to be stopped."""


class SimulatedAgent:
    """The agent, engine and data plane of one node."""

    def __init__(
        self,
        node_id: str,
        clock: SimulatedClock,
        random: Random,
        send: Callable[["SimulatedAgent", Heartbeat | StatusReport], None],
        before_stop: Callable[[Task], None],
        conditions: Conditions,
    ) -> None:
        self.node_id = node_id
        self.alive = True
        self.boots = 0
        """Raised when the node dies: what was under way in an earlier life never ends."""
        self.applied: NetworkConfiguration | None = None
        self.routes: frozenset[str] = frozenset()
        """Ids of tasks the kernel sends new connections to."""
        self._clock = clock
        self._random = random
        self._send = send
        self._before_stop = before_stop
        self._conditions = conditions
        self._containers: dict[str, _Container] = {}
        self._wanted: NetworkConfiguration | None = None
        self._applying = False
        self._connected_until: dict[str, float] = {}

    # Life --------------------------------------------------------------------------------------------------

    def die(self) -> None:
        """Lose power: containers and kernel state are gone, the engine's disk is not."""
        self.alive = False
        self.boots += 1
        self.applied, self.routes, self._wanted, self._applying = None, frozenset(), None, False
        self._connected_until.clear()
        for container in self._containers.values():
            container.busy = False
            container.awaited = None
            container.still_runs = False
            if TaskState.STARTING <= container.state <= TaskState.RUNNING:
                container.state = TaskState.FAILED

    def boot(self) -> None:
        """Come back."""
        self.alive = True

    @property
    def statuses(self) -> tuple[tuple[str, TaskStatus], ...]:
        """All tasks it knows."""
        return tuple((task_id, self._status(container)) for task_id, container in self._containers.items())

    @property
    def heartbeat(self) -> Heartbeat:
        """What it would say now."""
        return Heartbeat(self.applied.revision if self.applied else 0, self.flows)

    @property
    def flows(self) -> Flows:
        """Connections to endpoints that are draining."""
        services = self.applied.services if self.applied else ()
        draining = [endpoint.task_id for service in services for endpoint in service.draining]
        return tuple((task_id, 1) for task_id in draining if self.has_connections(task_id))

    def has_connections(self, task_id: str) -> bool:
        """Whether clients talk to the task through this node."""
        return self._connected_until.get(task_id, 0.0) > self._clock.now

    def obey(self, assignments: Assignments) -> None:
        """Take over what the leader wants, whole."""
        wanted = {task.id: task for task in assignments.tasks}
        for task_id in [task_id for task_id in self._containers if task_id not in wanted]:
            gone = self._containers.pop(task_id)
            if gone.state is TaskState.RUNNING or gone.still_runs:
                self._before_stop(gone.task)
        for task in wanted.values():
            known = self._containers.get(task.id)
            if known is None:
                known = self._containers[task.id] = _Container(task, resumed_state(task.status.state, None))
                if known.state is TaskState.FAILED:
                    self._report(known)
            known.task = task
            self._go_on(known)
        self._wanted = assignments.network
        self._apply_network()

    # Tasks -------------------------------------------------------------------------------------------------

    def _go_on(self, container: _Container) -> None:
        if container.busy:
            return
        if container.still_runs and container.task.endpoint is EndpointState.RELEASED:
            self._before_stop(container.task)
            container.still_runs = False
            self._report(container)
        step = next_step(container.state, container.task.ordered_state)
        if step is container.awaited:
            return
        container.awaited = None
        container.generation += 1
        if step is Step.PREPARE:
            self._prepare(container)
        elif step is Step.START:
            self._begin(container, TaskState.STARTING)
            self._later(container, self._random.uniform(0.01, 0.3), TaskState.STARTING)
        elif step is Step.AWAIT_READINESS:
            container.awaited = step
            failed = self._random.random() < self._conditions.failure
            self._await(container, self._random.uniform(0.0, 2.0), TaskState.FAILED if failed else TaskState.RUNNING)
        elif step is Step.AWAIT_EXIT:
            container.awaited = step
            self._maybe_crash(container)
        elif step is Step.STOP:
            if container.state is TaskState.RUNNING:
                self._before_stop(container.task)
            container.busy = True
            self._later(container, self._random.uniform(0.02, 1.0), TaskState.SHUTDOWN)

    def _prepare(self, container: _Container) -> None:
        """A stop ends what is being pulled; the order to run does not."""
        if container.state is not TaskState.PREPARING:
            container.state = TaskState.PREPARING
            self._report(container)
        container.awaited = Step.PREPARE
        rejected = container.task.spec.container.image == BAD_IMAGE or self._random.random() < self._conditions.failure
        duration = self._random.choice((0.05, 0.3, 1.5)) * self._random.uniform(0.5, 1.5)
        if self._conditions.slow_pull and self._random.random() < self._conditions.slow_pull:
            duration = self._random.uniform(5.0, 200.0)
        self._await(container, duration, TaskState.REJECTED if rejected else TaskState.READY)

    def _maybe_crash(self, container: _Container) -> None:
        if container.task.spec.container.image == CRASHING_IMAGE:
            self._await(container, self._random.uniform(0.1, 3.0), TaskState.FAILED)
        elif self._random.random() < self._conditions.failure:
            turns_unhealthy = self._random.random() < 0.5
            self._await(container, self._random.uniform(0.1, 60.0), TaskState.FAILED, still_runs=turns_unhealthy)
        elif container.task.job_iteration is not None:
            self._await(container, self._random.uniform(0.1, 20.0), TaskState.COMPLETE)

    def _begin(self, container: _Container, state: TaskState) -> None:
        container.busy = True
        if container.state is not state:
            container.state = state
            self._report(container)

    def _later(self, container: _Container, delay: float, state: TaskState) -> None:
        """End a step that nothing interrupts but the node's death."""
        boots = self.boots

        def end() -> None:
            if self.boots == boots:
                container.busy = False
                self._reach(container, state)

        self._clock.call_later(delay, end)

    def _await(self, container: _Container, delay: float, state: TaskState, *, still_runs: bool = False) -> None:
        """Reach a state unless another order comes first."""
        boots, generation = self.boots, container.generation

        def end() -> None:
            if (self.boots, container.generation) == (boots, generation):
                container.awaited = None
                container.still_runs = still_runs
                self._reach(container, state)

        self._clock.call_later(delay, end)

    def _reach(self, container: _Container, state: TaskState) -> None:
        if self._containers.get(container.task.id) is not container:
            return
        if container.state is not state:
            container.state = state
            self._report(container)
        self._go_on(container)

    def _report(self, container: _Container) -> None:
        self._send(self, StatusReport(((container.task.id, self._status(container)),)))

    def _status(self, container: _Container) -> TaskStatus:
        message = container.state.name.lower()
        return TaskStatus(container.state, message, at=self._clock.now, still_runs=container.still_runs)

    # Network -----------------------------------------------------------------------------------------------

    def _apply_network(self) -> None:
        if self._applying or self._wanted is None:
            return
        revision = self.applied.revision if self.applied else -1
        if self._wanted.revision == revision:
            return
        self._applying = True
        wanted, boots = self._wanted, self.boots
        slow = self._random.random() < self._conditions.slow_network
        duration = self._random.uniform(0.5, 30.0) if slow else self._random.uniform(0.002, 0.05)

        def done() -> None:
            if self.boots == boots:
                self._applying = False
                self._put_in_force(wanted)
                self._apply_network()

        self._clock.call_later(duration, done)

    def _put_in_force(self, configuration: NetworkConfiguration) -> None:
        before = self.routes
        self.applied = configuration
        endpoints = [endpoint.task_id for service in configuration.services for endpoint in service.endpoints]
        self.routes = frozenset(endpoints)
        for task_id in sorted(before - self.routes):
            if self._random.random() < 0.5:
                self._keep_connection(task_id)
        self._send(self, self.heartbeat)

    def _keep_connection(self, task_id: str) -> None:
        duration = self._random.uniform(0.0, self._conditions.longest_connection)
        self._connected_until[task_id] = self._clock.now + duration
        boots = self.boots

        def ended() -> None:
            if self.boots == boots:
                del self._connected_until[task_id]
                self._send(self, self.heartbeat)

        self._clock.call_later(duration + 0.001, ended)
