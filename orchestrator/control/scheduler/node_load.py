"""What the scheduler weighs of a node: counted once per run, kept up to date as tasks are placed."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from orchestrator.model.node import Node
from orchestrator.model.service import PublishMode, Resources
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import AssignTask
from orchestrator.state.cluster_state import ClusterState

FAILURE_WINDOW_S = 5 * 60.0
"""How long a failure on a node counts against it (swarmkit `scheduler.go`, monitorFailures)."""

PortKey = tuple[str, int]
"""(protocol, published port)."""


@dataclass(slots=True)
class NodeLoad:
    """A node with what is on it, placements of this run included."""

    node: Node
    position: int
    """Age of the node: the last tie-break."""
    total: int = 0
    """Wanted tasks."""
    by_service: dict[str, int] = field(default_factory=dict)
    reserved_nano_cpus: int = 0
    reserved_memory_bytes: int = 0
    reserved_generic: dict[str, int] = field(default_factory=dict)
    claimed: set[tuple[str, str]] = field(default_factory=set)
    """(kind, name) of generic resources that are a task's."""
    host_ports: set[PortKey] = field(default_factory=set)
    failed_at: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    """When tasks of (service id, spec version) failed here lately."""

    def add(self, task: Task) -> None:
        """Count a task that is, or is about to be, on the node."""
        if task.is_wanted:
            self.total += 1
            self.by_service[task.service_id] = self.by_service.get(task.service_id, 0) + 1
        reserved = task.spec.reservations or Resources()
        self.reserved_nano_cpus += reserved.nano_cpus
        self.reserved_memory_bytes += reserved.memory_bytes
        for kind, count in reserved.generic:
            self.reserved_generic[kind] = self.reserved_generic.get(kind, 0) + count
        self.claimed.update(task.claims)
        self.host_ports.update(host_ports(task))

    def place(self, task: Task) -> AssignTask:
        """Put the task here; it is given the first free ones of the generic resources it reserves."""
        claims = tuple(claim for kind, count in _generic(task) for claim in self._claim(kind, count))
        self.add(replace(task, claims=claims))
        return AssignTask(task.id, self.node.id, claims)

    def free_generic(self, kind: str) -> int:
        """How many of the kind no task has reserved."""
        return self.node.description.resources.generic_count(kind) - self.reserved_generic.get(kind, 0)

    def _claim(self, kind: str, count: int) -> list[tuple[str, str]]:
        named = [claim for claim in self.node.description.resources.named if claim[0] == kind]
        if not named:
            return [(kind, str(count))]
        return [claim for claim in named if claim not in self.claimed][:count]

    def note_failure(self, task: Task) -> None:
        """Remember that the task failed here."""
        self.failed_at.setdefault((task.service_id, task.spec_version), []).append(task.state_since)

    def recent_failures(self, task: Task, now: float) -> int:
        """Failures of the task's service and version here within the window."""
        times = self.failed_at.get((task.service_id, task.spec_version), [])
        return sum(now - at <= FAILURE_WINDOW_S for at in times)


def _generic(task: Task) -> tuple[tuple[str, int], ...]:
    return task.spec.reservations.generic if task.spec.reservations else ()


def host_ports(task: Task) -> list[PortKey]:
    """Ports the task takes on its node itself."""
    return [
        (port.protocol, port.published_port)
        for port in task.ports
        if port.publish_mode is PublishMode.HOST and port.published_port
    ]


def loads_of(state: ClusterState, nodes: Iterable[Node], without: frozenset[str] = frozenset()) -> list[NodeLoad]:
    """The load of each node, as if the tasks in `without` were not there."""
    loads = []
    for position, node in enumerate(nodes):
        load = NodeLoad(node, position)
        for task in state.tasks_on_node(node.id):
            if task.status.state in (TaskState.FAILED, TaskState.REJECTED):
                load.note_failure(task)
            if not task.is_gone and task.id not in without and task.status.state > TaskState.PENDING:
                load.add(task)
        loads.append(load)
    return loads
