"""What an agent and its manager say to each other, and what managers remember of it."""

from dataclasses import dataclass, field

from orchestrator.model.files import FilePayload
from orchestrator.model.gossip import Keyring
from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.node import NodeDescription, NodeRole, NodeTrust
from orchestrator.model.task import Task, TaskStatus

REDIRECT_HEADER = "X-Swarm-Leader"
"""HTTP header by which a manager that does not lead names the one that does: "address:port"."""

Flows = tuple[tuple[str, int], ...]
"""(task id, open connections) of withdrawn tasks a node still has flows to; absent = none."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First word of an agent's session."""

    node_id: str
    description: NodeDescription
    address: str
    revision: int = 0
    flows: Flows = ()
    statuses: tuple[tuple[str, TaskStatus], ...] = ()
    """(task id, status) of all tasks the agent still knows: the new leader may have missed reports."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The node lives, and how far its data plane has come.

    Sent every heartbeat period, and at once when `revision` or `flows` change.
    """

    revision: int
    """The network configuration that is in force in the kernel, whole."""
    flows: Flows = ()
    """Measured after `revision` took effect."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Tasks whose observed state changed."""

    statuses: tuple[tuple[str, TaskStatus], ...]


@dataclass(frozen=True, slots=True)
class Certified:
    """The node has a new certificate, or trusts another root."""

    trust: NodeTrust


@dataclass(frozen=True, slots=True)
class Assignments:
    """All that a node is to run and to carry: a whole, never a difference."""

    tasks: tuple[Task, ...]
    """Every task of the node; its `ordered_state` is what the agent obeys. One that is absent is to be erased."""
    network: NetworkConfiguration
    heartbeat_period: float
    managers: tuple[str, ...]
    """Addresses ("10.1.2.3:2377") of all managers, to try when this session ends."""
    certified_role: NodeRole | None = None
    """The role the node's certificate is to name; None says nothing about it."""
    role: NodeRole | None = None
    """The role the node has as far as the cluster knows: a manager's only once it takes part in the consensus."""
    secrets: tuple[FilePayload, ...] = ()
    """In clear, over mutual TLS: those of the node's tasks that are yet to be started."""
    configs: tuple[FilePayload, ...] = ()
    """As `secrets`."""
    trust: NodeTrust | None = None
    """The root the node is to trust, and who is to vouch for it; None says nothing about it."""
    term: int = 0
    """The number of the election by which the sender leads: in every message, so that nobody obeys a deposed leader."""
    keyring: Keyring = field(default_factory=Keyring)
    """For the probing among nodes; its members are the network's peers."""


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Ask the agent for a task's log; the frames come back as `LogFrame`s under the same number."""

    number: int
    task_id: str
    follow: bool = False
    stdout: bool = True
    stderr: bool = True
    since: float = 0.0
    tail: str = "all"
    timestamps: bool = False
    details: bool = False
    """Each line with what the log driver noted of the container."""
    term: int = 0


LOG_WINDOW_FRAMES = 64
"""Frames an agent may send of a log before it is told that they were read: what a slow reader costs in memory."""


@dataclass(frozen=True, slots=True)
class LogCredit:
    """So many further frames of the log may be sent: a slow reader must not hold up the session."""

    number: int
    frames: int
    term: int = 0


@dataclass(frozen=True, slots=True)
class LogCancel:
    """Nobody reads that log any more."""

    number: int
    term: int = 0


@dataclass(frozen=True, slots=True)
class LogFrame:
    """A piece of a task's log."""

    number: int
    stream: int = 1
    """1 = stdout, 2 = stderr, as in Docker's multiplexed streams."""
    data: str = ""
    """Bytes decoded as latin-1, which keeps every byte."""
    end: bool = False


@dataclass(frozen=True, slots=True)
class AttachedRequest:
    """Ask the agent which networks have containers that are no tasks; answered by `Attached` of the same number."""

    number: int
    term: int = 0


@dataclass(frozen=True, slots=True)
class Attached:
    """What somebody attached by hand to the node's networks."""

    number: int
    containers: tuple[tuple[str, str], ...] = ()
    """(network id, name of one such container) of each network that has any, by network id."""


AgentMessage = Hello | Heartbeat | StatusReport | Certified | LogFrame | Attached
ManagerMessage = Assignments | LogRequest | LogCredit | LogCancel | AttachedRequest


@dataclass(frozen=True, slots=True)
class NodeObservation:
    """What the leader holds of a node in memory: not replicated, learned anew by each leader."""

    last_heard: float
    """Seconds since the epoch, by the leader's clock."""
    revision: int = 0
    flows: Flows = field(default=())
    period: float = 0.0
    """Within how many seconds it was to be heard again when it was; 0 = the cluster's present setting."""
