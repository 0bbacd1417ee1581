"""What several deciders ask about a service's slots: who fills one, who is on the way in, who on the way out.

A slot is a number of a replicated service or a node of a global one. Tasks wanted removed have left their slot.
Nothing is decided here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.model.node import NodeState
from orchestrator.model.service import RestartPolicy, Service, ServiceMode, default_restart_policy
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state.cluster_state import ClusterState

SlotKey = int | str
"""Slot number (replicated) or node id (global)."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of a service, with every task that holds or held it."""

    key: SlotKey
    tasks: tuple[Task, ...]
    """Oldest first; never empty."""

    @property
    def latest(self) -> Task:
        """The youngest task."""
        return self.tasks[-1]

    @property
    def wanted(self) -> list[Task]:
        """Tasks the cluster wants to run, those that have ended and await the restart's verdict included."""
        return [task for task in self.tasks if task.is_wanted]

    @property
    def live(self) -> list[Task]:
        """Wanted and not over."""
        return [task for task in self.tasks if task.is_live]

    @property
    def is_finished(self) -> bool:
        """Whether its task ended and the restart policy let it rest: only then is the latest desired shutdown."""
        return not self.wanted and self.latest.desired_state is TaskState.SHUTDOWN


def slots_of(state: ClusterState, service: Service) -> list[Slot]:
    """The service's occupied slots, lowest number first (global: by the age of their oldest task)."""
    grouped: dict[SlotKey, list[Task]] = {}
    for task in state.tasks_of_service(service.id):
        if task.desired_state < TaskState.REMOVE:
            grouped.setdefault(task.slot or task.node_id, []).append(task)
    slots = [Slot(key, tuple(tasks)) for key, tasks in grouped.items()]
    occupied = [slot for slot in slots if slot.wanted or slot.is_finished]
    return sorted(occupied, key=lambda slot: slot.tasks[0].slot)


def new_task(
    service: Service,
    key: SlotKey,
    new_id: Callable[[], str],
    desired_state: TaskState = TaskState.RUNNING,
    not_before: float = 0.0,
    restarts: tuple[float, ...] = (),
) -> Task:
    """A task for the slot, made from the service's present spec."""
    return Task(
        id=new_id(),
        service_id=service.id,
        service_name=service.name,
        slot=key if isinstance(key, int) else 0,
        node_id=key if isinstance(key, str) else "",
        spec=service.spec.task,
        spec_version=service.spec_version,
        desired_state=desired_state,
        not_before=not_before,
        restarts=restarts,
    )


def restart_policy(task: Task) -> RestartPolicy:
    """The restart policy the task was made with."""
    return default_restart_policy(task.spec.restart)


def is_serving(task: Task) -> bool:
    """Whether balancers send to it: what a replacement must not undercut."""
    return task.endpoint is EndpointState.SERVING


def is_lost(state: ClusterState, task: Task) -> bool:
    """Whether the task's node is down or gone, so that nobody can tell how it fares."""
    if task.status.state < TaskState.ASSIGNED or task.status.state.is_terminal:
        return False
    node = state.nodes.get(task.node_id)
    return node is None or node.state is NodeState.DOWN


def has_ended_by_itself(task: Task) -> bool:
    """Whether it came to an end that nobody asked for."""
    return task.status.state in (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)


def retry_at(failed: Task) -> float:
    """When another attempt may be made after one that failed, seconds since the epoch."""
    return failed.state_since + restart_policy(failed).delay_in_force


def is_replicated(service: Service) -> bool:
    """A fixed number of long-running tasks."""
    return service.spec.mode is ServiceMode.REPLICATED


def is_global(service: Service) -> bool:
    """One long-running task per node."""
    return service.spec.mode is ServiceMode.GLOBAL
