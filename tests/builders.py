"""Small objects for tests: what matters is said, the rest is ordinary."""

from collections.abc import Mapping, Sequence
from itertools import count

from orchestrator.control.plan import Situation
from orchestrator.control.slots import new_task
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.container import ContainerSpec
from orchestrator.model.node import Availability, Node, NodeDescription, NodeRole, NodeSpec, NodeState
from orchestrator.model.service import (
    EndpointSpec,
    PortConfig,
    Resources,
    RestartPolicy,
    Service,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)
from orchestrator.model.session import NodeObservation
from orchestrator.model.task import Task, TaskState, TaskStatus
from orchestrator.state.actions import (
    Action,
    AddNode,
    AllocateTask,
    AssignTask,
    Batch,
    CreateCluster,
    CreateService,
    CreateTask,
    ReportTaskStatus,
)
from orchestrator.state.apply import apply
from orchestrator.state.cluster_state import ClusterState


def a_node(
    node_id: str,
    *,
    role: NodeRole = NodeRole.WORKER,
    availability: Availability = Availability.ACTIVE,
    state: NodeState = NodeState.READY,
    labels: Mapping[str, str] | None = None,
    engine_labels: Mapping[str, str] | None = None,
    address: str = "10.9.0.1",
    resources: Resources | None = None,
    plugins: tuple[tuple[str, str], ...] = (),
    gateways: tuple[tuple[str, str], ...] = (),
) -> Node:
    """A ready worker called after its id, unless said otherwise."""
    return Node(
        id=node_id,
        spec=NodeSpec(role, availability, tuple(sorted((labels or {}).items()))),
        description=NodeDescription(
            hostname=f"host-{node_id}",
            engine_labels=tuple(sorted((engine_labels or {}).items())),
            resources=resources or Resources(4_000_000_000, 8 << 30),
            plugins=plugins,
        ),
        address=address,
        role=role,
        state=state,
        gateways=gateways,
    )


def a_spec(
    name: str = "web",
    *,
    image: str = "web:1",
    replicas: int | None = 1,
    mode: ServiceMode = ServiceMode.REPLICATED,
    labels: Mapping[str, str] | None = None,
    restart: RestartPolicy | None = None,
    update: UpdateConfig | None = None,
    rollback: UpdateConfig | None = None,
    ports: tuple[PortConfig, ...] = (),
    **task: object,
) -> ServiceSpec:
    """A service's wish; further keywords go to its `TaskSpec`."""
    return ServiceSpec(
        name=name,
        task=TaskSpec(ContainerSpec(image), restart=restart, **task),  # type: ignore[arg-type]
        labels=tuple(sorted((labels or {}).items())),
        mode=mode,
        replicas=replicas if mode is ServiceMode.REPLICATED else None,
        update=update,
        rollback=rollback,
        endpoint=EndpointSpec(ports=ports) if ports else None,
    )


def a_service(spec: ServiceSpec | None = None, service_id: str = "") -> Service:
    """A service not yet in any cluster."""
    spec = spec or a_spec()
    return Service(service_id or f"{spec.name}-id", spec, spec_version=0)


class Scene:
    """A state, a clock in the test's hand, and the means to change both: a cluster in slow motion."""

    def __init__(self, nodes: Sequence[Node] = (), spec: ClusterSpec | None = None, now: float = 1000.0) -> None:
        self.state = ClusterState()
        self.now = now
        self.observations: dict[str, NodeObservation] = {}
        self.leading_since = now
        self._ids = count(1)
        self.apply(CreateCluster(Cluster("cluster", spec or ClusterSpec())), *map(AddNode, nodes))

    def apply(self, *actions: Action) -> None:
        """Commit a batch now."""
        apply(self.state, Batch(self.now, actions))

    def create(self, spec: ServiceSpec) -> Service:
        """Create a service and return it as the state has it."""
        service = a_service(spec)
        self.apply(CreateService(service))
        return self.state.service(service.id)

    def report(self, task_id: str, state: TaskState, *, still_runs: bool = False) -> None:
        """Let the task's node report a state."""
        self.apply(ReportTaskStatus(task_id, TaskStatus(state, at=self.now, still_runs=still_runs)))

    def report_up(self, task_id: str, node_id: str) -> None:
        """Bring a new task to RUNNING on the node."""
        self.apply(AllocateTask(task_id, ()), AssignTask(task_id, node_id))
        self.report(task_id, TaskState.RUNNING)

    def hear(self, *node_ids: str, revision: int | None = None, flows: tuple[tuple[str, int], ...] = ()) -> None:
        """Let nodes (all, if none is named) say that they live and have taken the revision (the newest)."""
        for node_id in node_ids or tuple(self.state.nodes):
            seen = NodeObservation(self.now, self.state.network_revision if revision is None else revision, flows)
            self.observations[node_id] = seen

    @property
    def situation(self) -> Situation:
        """What a decider sees now."""
        return Situation(
            self.state, self.now, lambda: f"id{next(self._ids):03}", dict(self.observations), self.leading_since
        )


def a_task_running(scene: Scene, service_id: str, node_id: str, slot: int = 1) -> Task:
    """A task of the service, brought to RUNNING on the node."""
    service = scene.state.service(service_id)
    made = new_task(service, slot, scene.situation.new_id)
    scene.apply(CreateTask(made))
    scene.report_up(made.id, node_id)
    return scene.state.task(made.id)
