"""Every change the replicated state can undergo, as data.

Whoever wants a change proposes a batch of these; only a committed batch reaches `state.apply`. An action names
objects by id and carries what the proposer decided; what follows from it (versions, revisions, endpoint moves)
is worked out in `apply`, the same on every manager.
"""

from dataclasses import dataclass, field

from orchestrator.model.cluster import Cluster, ClusterSpec, RootRotation
from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.gossip import GossipKey
from orchestrator.model.labels import Labels
from orchestrator.model.network import Network
from orchestrator.model.node import Node, NodeDescription, NodeRole, NodeSpec, NodeState, Reachability
from orchestrator.model.service import PortConfig, Service, ServiceSpec, UpdateStatus
from orchestrator.model.task import NetworkAttachment, Task, TaskState, TaskStatus

# The cluster -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateCluster:
    """Found the cluster; once."""

    cluster: Cluster


@dataclass(frozen=True, slots=True)
class UpdateClusterSpec:
    """`docker swarm update`; refused unless `version` is the current one."""

    version: int
    spec: ClusterSpec


@dataclass(frozen=True, slots=True)
class RotateJoinTokens:
    """Replace one or both join tokens; None keeps the present one."""

    worker_token: str | None = None
    manager_token: str | None = None


@dataclass(frozen=True, slots=True)
class SetUnlockKey:
    """Lock all managers' keys under this one from now on; "" leaves them open."""

    unlock_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BeginRootRotation:
    """Sign all certificates anew with another root; takes the place of a rotation that is under way."""

    rotation: RootRotation


@dataclass(frozen=True, slots=True)
class AbortRootRotation:
    """Stay with the root that is."""


@dataclass(frozen=True, slots=True)
class FinishRootRotation:
    """Every node has a certificate of the new root: from now on it alone is trusted. Join tokens name it."""

    ca_certificate: str
    """Of the rotation that is meant: refused when it is another one by now."""
    worker_token: str
    manager_token: str


@dataclass(frozen=True, slots=True)
class RotateGossipKeys:
    """The keys nodes probe one another under become others; refused unless they are `before` still."""

    before: tuple[GossipKey, ...]
    keys: tuple[GossipKey, ...]


@dataclass(frozen=True, slots=True)
class LeapRevisions:
    """Versions and revisions go on so much higher, from this batch on: its first action.

    A manager that goes on alone may lack the last changes, while nodes have seen their revisions: what they say of
    those must not pass for what they know of ours.
    """

    by: int


# Nodes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddNode:
    """A node joined."""

    node: Node


@dataclass(frozen=True, slots=True)
class UpdateNodeSpec:
    """`docker node update`; refused unless `version` is the current one."""

    node_id: str
    version: int
    spec: NodeSpec


@dataclass(frozen=True, slots=True)
class DescribeNode:
    """A node registered: what it is and where it is reached."""

    node_id: str
    description: NodeDescription
    address: str


@dataclass(frozen=True, slots=True)
class SetNodeState:
    """Liveness changed its verdict."""

    node_id: str
    state: NodeState
    message: str = ""


@dataclass(frozen=True, slots=True)
class SetNodeRole:
    """The node took on the role its spec asks for."""

    node_id: str
    role: NodeRole


@dataclass(frozen=True, slots=True)
class SetReachability:
    """A manager was seen or missed by its peers."""

    node_id: str
    reachability: Reachability


@dataclass(frozen=True, slots=True)
class SetNodeGateway:
    """The allocator gave the node's bridge an address on a network."""

    node_id: str
    network_id: str
    address: str
    attachment_range: str = ""
    """Attachable networks: the subnet whose addresses the node's own engine gives out."""


@dataclass(frozen=True, slots=True)
class RemoveNodeGateway:
    """The node carries the network no more: its addresses there are free."""

    node_id: str
    network_id: str


@dataclass(frozen=True, slots=True)
class BeginLeaving:
    """The node is to leave the swarm: its tasks go elsewhere first."""

    node_id: str


@dataclass(frozen=True, slots=True)
class RemoveNode:
    """`docker node rm`; refused while the node is up unless forced."""

    node_id: str
    force: bool = False


# Networks --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """A network with its subnet and VXLAN identifier already chosen."""

    network: Network


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Forget a network; refused while a service uses it. Carried on until its last task is over."""

    network_id: str


# Secrets and configs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateSecret:
    """A new secret, its payload sealed; refused when the name is taken."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class UpdateSecretLabels:
    """`docker secret` objects change in their labels alone; refused unless `version` is the current one."""

    secret_id: str
    version: int
    labels: Labels


@dataclass(frozen=True, slots=True)
class RemoveSecret:
    """Forget a secret; refused while a service names it."""

    secret_id: str


@dataclass(frozen=True, slots=True)
class CreateConfig:
    """A new config; refused when the name is taken."""

    config: ConfigObject


@dataclass(frozen=True, slots=True)
class UpdateConfigLabels:
    """As `UpdateSecretLabels`."""

    config_id: str
    version: int
    labels: Labels


@dataclass(frozen=True, slots=True)
class RemoveConfig:
    """Forget a config; refused while a service names it."""

    config_id: str


# Services --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateService:
    """A new service; refused when the name or a published port is taken."""

    service: Service


@dataclass(frozen=True, slots=True)
class UpdateService:
    """A new wish for a service; refused unless `version` is the current one."""

    service_id: str
    version: int
    spec: ServiceSpec


@dataclass(frozen=True, slots=True)
class RollbackService:
    """Go back to the previous spec, by the user (`version` given) or by the updater (`between` given)."""

    service_id: str
    version: int | None = None
    between: tuple[int, int] | None = None
    """(spec version to leave, spec version to restore) the updater saw: refused when the user was quicker."""
    message: str = "rollback in progress"


@dataclass(frozen=True, slots=True)
class SetUpdateStatus:
    """Progress of the service's update, written by the updater alone; refused when the user was quicker."""

    service_id: str
    spec_version: int
    """The version the progress is about."""
    status: UpdateStatus


@dataclass(frozen=True, slots=True)
class AllocateService:
    """The allocator filled in published ports and virtual addresses."""

    service_id: str
    ports: tuple[PortConfig, ...]
    virtual_addresses: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveService:
    """Forget a service; its tasks are withdrawn, drained, stopped and reaped."""

    service_id: str


# Tasks -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateTask:
    """A new task, in state new."""

    task: Task


@dataclass(frozen=True, slots=True)
class AllocateTask:
    """The allocator gave the task its addresses: new -> pending."""

    task_id: str
    attachments: tuple[NetworkAttachment, ...]


@dataclass(frozen=True, slots=True)
class AssignTask:
    """The scheduler chose a node: pending -> assigned."""

    task_id: str
    node_id: str
    claims: tuple[tuple[str, str], ...] = ()
    """(kind, name or number) of the node's generic resources the task gets."""


@dataclass(frozen=True, slots=True)
class ExplainPending:
    """The allocator found no address, or the scheduler no node, and says why."""

    task_id: str
    error: str


@dataclass(frozen=True, slots=True)
class SetDesiredState:
    """What the cluster wants of the task now; never lowered."""

    task_id: str
    state: TaskState


@dataclass(frozen=True, slots=True)
class ReportTaskStatus:
    """The task's node says how it stands."""

    task_id: str
    status: TaskStatus


@dataclass(frozen=True, slots=True)
class LoseTask:
    """The managers end a task whose node cannot: never assigned, or its node is gone for good."""

    task_id: str
    state: TaskState
    message: str


@dataclass(frozen=True, slots=True)
class ConfirmWithdrawal:
    """Every live node has acknowledged the revision without this task: withdrawing -> draining."""

    task_id: str


@dataclass(frozen=True, slots=True)
class ReleaseEndpoint:
    """No node holds a connection to it any more, or the drain ran out of time: draining -> released."""

    task_id: str
    cut_off: int = 0
    """How many connections it still had when the time was over."""


@dataclass(frozen=True, slots=True)
class RemoveTask:
    """Forget a task that is over."""

    task_id: str


Action = (
    CreateCluster
    | UpdateClusterSpec
    | RotateJoinTokens
    | SetUnlockKey
    | BeginRootRotation
    | AbortRootRotation
    | FinishRootRotation
    | RotateGossipKeys
    | LeapRevisions
    | AddNode
    | UpdateNodeSpec
    | DescribeNode
    | SetNodeState
    | SetNodeRole
    | SetReachability
    | SetNodeGateway
    | RemoveNodeGateway
    | BeginLeaving
    | RemoveNode
    | CreateNetwork
    | RemoveNetwork
    | CreateSecret
    | UpdateSecretLabels
    | RemoveSecret
    | CreateConfig
    | UpdateConfigLabels
    | RemoveConfig
    | CreateService
    | UpdateService
    | RollbackService
    | SetUpdateStatus
    | AllocateService
    | RemoveService
    | CreateTask
    | AllocateTask
    | AssignTask
    | ExplainPending
    | SetDesiredState
    | ReportTaskStatus
    | LoseTask
    | ConfirmWithdrawal
    | ReleaseEndpoint
    | RemoveTask
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Actions that take effect together or not at all, stamped by their proposer."""

    at: float
    """Seconds since the epoch, by the proposer's clock."""
    actions: tuple[Action, ...]
