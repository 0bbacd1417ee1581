"""A task: one container's life, used once and never restarted.

States and their numbers are swarm mode's (swarmkit `api/types.proto`); the order is the order of a life, so
comparisons such as `state < TaskState.RUNNING` are meaningful.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from orchestrator.model.labels import Labels
from orchestrator.model.service import PortConfig, TaskSpec


class TaskState(IntEnum):
    """Observed or desired state of a task; a task never moves to a lower one."""

    NEW = 0
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    ORPHANED = 832

    @property
    def is_terminal(self) -> bool:
        """Whether the task is over. Its container has ended too, or is about to be stopped: `TaskStatus.still_runs`."""
        return self > TaskState.RUNNING


class EndpointState(StrEnum):
    """Where a task stands with the balancers and the DNS of all nodes.

    A separate fact from the task's state: a task may run on (draining) long after no node sends to it.
    """

    ABSENT = "absent"
    """Never balanced to: not yet ready."""
    SERVING = "serving"
    """In every node's endpoint set."""
    WITHDRAWING = "withdrawing"
    """Taken out of the set at `Task.withdrawn_revision`; some live node may not have heard yet."""
    DRAINING = "draining"
    """Every live node has acknowledged that revision; connections made before may still be open."""
    RELEASED = "released"
    """No node sends to it and its connections are gone or out of time: the container may be stopped."""


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """What the node last reported (or, before assignment, what the managers say)."""

    state: TaskState = TaskState.NEW
    message: str = "created"
    error: str = ""
    at: float = 0.0
    """Seconds since the epoch, by the reporter's clock."""
    container_id: str = ""
    process_id: int = 0
    exit_code: int | None = None
    host_ports: tuple[tuple[str, int, int], ...] = ()
    """Host-mode ports in use on the node: (protocol, target port, published port)."""
    still_runs: bool = False
    """Whether a task that is over was seen unhealthy, not ended: its container still answers what it is sent."""

    @property
    def is_up(self) -> bool:
        """Whether its container was up when the node last reported."""
        return self.state is TaskState.RUNNING or self.still_runs


@dataclass(frozen=True, slots=True)
class NetworkAttachment:
    """A task's place on one network."""

    network_id: str
    address: str
    """IPv4 address without prefix, for example "10.0.0.7"."""
    aliases: tuple[str, ...] = ()
    virtual_address: str = ""
    """The service's virtual address on the network, without prefix: clients may reach the task by it to its end,
    even when the service has left the network or is gone."""


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at filling a slot of a replicated service, or a node's place of a global one."""

    id: str
    service_id: str
    service_name: str
    slot: int
    """1-based for replicated services; 0 for global ones, which are named by node instead."""
    spec: TaskSpec
    spec_version: int
    """The service's `spec_version` this task was made from: equal means up to date."""
    node_id: str = ""
    desired_state: TaskState = TaskState.RUNNING
    status: TaskStatus = field(default_factory=TaskStatus)
    attachments: tuple[NetworkAttachment, ...] = ()
    endpoint: EndpointState = EndpointState.ABSENT
    withdrawn_revision: int = 0
    withdrawn_at: float = 0.0
    """When the endpoint left the set, seconds since the epoch."""
    confirmed_at: float = 0.0
    """When it was known that every live node has taken it out of its balancers and names, seconds since the epoch."""
    cut_off: int = 0
    """How many connections it still had when its drain ran out of time."""
    labels: Labels = ()
    """The service's labels when the task was made; they hold the `swarm.*` switches."""
    ports: tuple[PortConfig, ...] = ()
    """The service's published ports when the task was made: readiness looks at their target ports."""
    claims: tuple[tuple[str, str], ...] = ()
    """(kind, name or number) of the node's generic resources that are this task's."""
    job_iteration: int | None = None
    """Jobs: which execution of the service this task belongs to."""
    state_since: float = 0.0
    """When the observed state last changed, seconds since the epoch by the leader's clock."""
    running_since: float = 0.0
    """When it was first seen running, seconds since the epoch by the leader's clock; 0 = never."""
    not_before: float = 0.0
    """A restarted task desired READY may start from here on; 0 = when the slot's previous task is over."""
    restarts: tuple[float, ...] = ()
    """When its slot was restarted before, kept only under a limit of attempts: the memory of that limit."""
    created_at: float = 0.0
    updated_at: float = 0.0
    version: int = 0

    @property
    def ordered_state(self) -> TaskState:
        """The desired state as its node is told: a stop is withheld until the endpoint is released."""
        if self.is_wanted or self.endpoint is EndpointState.RELEASED:
            return self.desired_state
        return TaskState.RUNNING

    @property
    def is_gone(self) -> bool:
        """Over, and nothing is sent to it any more: its addresses and its place are free, and it may be forgotten."""
        return self.status.state.is_terminal and self.endpoint is EndpointState.RELEASED

    @property
    def name(self) -> str:
        """`web.1` or, for a task of a global service, `web.<node id>`."""
        return f"{self.service_name}.{self.slot or self.node_id}"

    @property
    def container_name(self) -> str:
        """`web.1.<task id>`: also the task's own DNS name."""
        return f"{self.name}.{self.id}"

    @property
    def is_wanted(self) -> bool:
        """Whether the cluster still wants it to run, be made ready to run, or (jobs) run to completion."""
        return self.desired_state <= TaskState.COMPLETE

    @property
    def is_live(self) -> bool:
        """Wanted, and not over."""
        return self.is_wanted and not self.status.state.is_terminal

    def label(self, name: str, default: str = "") -> str:
        """Value of one of the service's labels."""
        return dict(self.labels).get(name, default)
