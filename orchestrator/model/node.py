"""A node: a machine with an engine, a role, and an availability."""

from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.model.labels import Labels
from orchestrator.model.service import Resources

MANAGEMENT_PORT = 2377
"""TCP port of every manager: joins, sessions and forwarded API requests, all over TLS. Docker's own number."""


class NodeRole(StrEnum):
    """Whether the node is to keep the cluster's state."""

    WORKER = "worker"
    MANAGER = "manager"


class Availability(StrEnum):
    """What the operator allows the scheduler."""

    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


class NodeState(StrEnum):
    """What the managers know of the node's life."""

    UNKNOWN = "unknown"
    DOWN = "down"
    READY = "ready"
    DISCONNECTED = "disconnected"


class Reachability(StrEnum):
    """Whether a manager is seen by its peers."""

    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    REACHABLE = "reachable"


@dataclass(frozen=True, slots=True)
class NodeTrust:
    """Whom a node trusts and who vouches for it; all empty when that is not known."""

    root: str = ""
    """PEM of the root certificate it trusts."""
    issuer_subject: str = ""
    """Subject of what its own certificate is signed with; base64 of the DER bytes."""
    issuer_public_key: str = ""
    """Key of the same; base64 of the DER bytes."""


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """What a node says of itself when it registers."""

    hostname: str
    architecture: str = "x86_64"
    os: str = "linux"
    engine_version: str = ""
    engine_labels: Labels = ()
    resources: Resources = field(default_factory=Resources)
    plugins: tuple[tuple[str, str], ...] = ()
    """(type, name) of the engine's plugins, for example ("Log", "json-file")."""
    trust: NodeTrust = NodeTrust()


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What the operator wants of a node."""

    role: NodeRole = NodeRole.WORKER
    availability: Availability = Availability.ACTIVE
    labels: Labels = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the cluster keeps it."""

    id: str
    spec: NodeSpec
    description: NodeDescription
    address: str
    """IPv4 address other nodes reach it at."""
    management_port: int = MANAGEMENT_PORT
    """Where it listens for the other nodes while it is a manager."""
    role: NodeRole = NodeRole.WORKER
    """The role it has now; follows `spec.role`."""
    state: NodeState = NodeState.UNKNOWN
    message: str = ""
    reachability: Reachability = Reachability.UNKNOWN
    """Managers only."""
    is_leaving: bool = False
    """It is about to leave the swarm, or has left: it gets no tasks, and once down it never comes back."""
    gateways: tuple[tuple[str, str], ...] = ()
    """(network id, address of this node's bridge on that network)."""
    attachment_ranges: tuple[tuple[str, str], ...] = ()
    """(network id, subnet) of attachable networks: addresses that this node's own engine gives out."""
    created_at: float = 0.0
    updated_at: float = 0.0
    version: int = 0

    @property
    def management_address(self) -> str:
        """ "address:port" that other nodes reach it at while it is a manager."""
        return f"{self.address}:{self.management_port}"

    @property
    def is_ready(self) -> bool:
        """Reporting in time."""
        return self.state is NodeState.READY

    @property
    def accepts_tasks(self) -> bool:
        """Whether the scheduler may place new tasks here."""
        return self.is_ready and not self.is_leaving and self.spec.availability is Availability.ACTIVE

    @property
    def sheds_tasks(self) -> bool:
        """Whether tasks that are here must go elsewhere."""
        return self.is_leaving or self.spec.availability is Availability.DRAIN

    @property
    def certified_role(self) -> NodeRole:
        """The role its certificate is to name: a manager's from the wish for one until it is none any more."""
        return NodeRole.MANAGER if NodeRole.MANAGER in (self.spec.role, self.role) else NodeRole.WORKER
