"""The Protocols through which the I/O shells meet; `daemon.py` alone knows who implements what.

Contracts are in the docstrings. `orchestrator/testing` ships a fake of each that passes the same conformance suite.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.model.files import FilePayload
from orchestrator.model.gossip import GossipConfiguration
from orchestrator.model.network import AttachedNetwork, NetworkConfiguration
from orchestrator.model.node import NodeDescription
from orchestrator.model.session import Flows, LogFrame, LogRequest
from orchestrator.model.task import Task, TaskStatus
from orchestrator.state.actions import Action
from orchestrator.state.cluster_state import ClusterState


class Store(Protocol):
    """The replicated state as one manager sees it. Implemented by `raft`."""

    @property
    def state(self) -> ClusterState:
        """This manager's replica: read it, never write it. May lag behind the leader's."""
        ...

    @property
    def is_leader(self) -> bool:
        """Whether this manager believes to lead. Never a licence to act: propose, and act on what was committed."""
        ...

    @property
    def leader_address(self) -> str | None:
        """IPv4 address of the node that leads, as far as known."""
        ...

    @property
    def leading_term(self) -> int | None:
        """The number of the election by which this manager leads, higher with each; None while it does not lead."""
        ...

    def now(self) -> float:
        """The cluster's time, seconds since the epoch: the one in which the state is written and waits are measured.

        It goes on evenly, also when a machine's clock is set or another manager leads; that of a manager that does not
        lead may be behind by as long as it has not heard from the leader.
        """
        ...

    async def catch_up(self) -> None:
        """Return when all that was acknowledged anywhere before the call is in `state`. Raises `NoLeader`."""
        ...

    async def propose(self, actions: Sequence[Action], *, at: float | None = None) -> None:
        """Commit the actions as one batch and return once it is applied here.

        `at` is the time they are applied for, seconds since the epoch: now, unless they were decided at another.
        Raises the `ClusterError` with which `apply` refused the batch; `Unavailable` when there is no leader, this
        manager is not it, or no majority answered within the deadline.
        """
        ...

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back (soon, on the event loop, coalesced) after batches were applied or leadership changed.

        A batch that was refused has changed nothing, and nobody is called for it. Returns the function that ends it.
        """
        ...


class SecretVault(Protocol):
    """Secrets as ciphertext under a key only managers hold. Implemented by `manager`."""

    def seal(self, secret_id: str, payload: bytes) -> bytes:
        """The payload encrypted, bound to the secret's id."""
        ...

    def open(self, secret_id: str, sealed: bytes) -> bytes:
        """The payload of `seal`. Raises `Unavailable` for what was sealed under another key or id."""
        ...


class TaskFiles(Protocol):
    """The secrets and configs of this node's tasks, in memory only. Implemented by `executor`."""

    def write(self, task: Task, payloads: Mapping[str, FilePayload]) -> None:
        """Lay out every secret and config the task mounts; `payloads` are contents by object id.

        Idempotent. Raises `TaskRejected` when one is missing or cannot be written.
        """
        ...

    def erase(self, task_id: str) -> None:
        """Forget the task's files; a container that still runs keeps what it has open or mounted. Idempotent."""
        ...

    def task_ids(self) -> Sequence[str]:
        """Ids of all tasks that have files here, in order."""
        ...


class Engine(Protocol):
    """The node's own container engine. Implemented by `executor`."""

    async def describe(self) -> NodeDescription:
        """What the node is and has."""
        ...

    async def pull(self, task: Task) -> None:
        """Bring the task's image here if it is not; may take minutes, and be cancelled at any time.

        One that cannot be had is no failure yet: `prepare` tells of it.
        """
        ...

    async def prepare(self, task: Task) -> str:
        """Create the task's container; returns its id.

        Idempotent: an existing container of the task is kept. Raises `TaskRejected` when it can never be created.
        """
        ...

    async def start(self, task: Task) -> TaskStatus:
        """Start the created container; returns the status RUNNING with container id, process id and host ports.

        Idempotent. Raises `TaskFailed` when it does not start.
        """
        ...

    async def wait_healthy(self, task: Task) -> None:
        """Return when the container's healthcheck passes; at once when it has none.

        Raises `TaskFailed` when it turns unhealthy, ends, or neither within the time that the healthcheck gives itself.
        """
        ...

    def has_healthcheck(self, task: Task) -> bool:
        """Whether the started container of the task has a healthcheck, its image's included."""
        ...

    async def wait_exit(self, task: Task, *, watch_health: bool = True) -> TaskStatus:
        """Return when the container has ended: COMPLETE for exit code 0, else FAILED with the code and message.

        One that turns unhealthy is FAILED at once, with `still_runs`: it is to be stopped when nobody is sent to it any
        more. Without `watch_health` only its end counts. Raises `TaskFailed` when there is no such container, `OSError`
        when the engine cannot be asked now.
        """
        ...

    async def stop(self, task: Task) -> None:
        """Send the stop signal, wait the stop grace period, then kill. Idempotent.

        Raises `OSError` when the engine could not; the container may still run then.
        """
        ...

    async def attached(self) -> Mapping[str, str]:
        """Network id -> name of a running container on that network that is no task, of networks that have any.

        Raises `OSError`.
        """
        ...

    async def remove(self, task: Task) -> None:
        """Erase the container and its anonymous volumes. Idempotent. Raises `OSError` when the engine could not."""
        ...

    async def tasks(self) -> Sequence[tuple[str, TaskStatus]]:
        """(task id, status) of every container of ours, running or not: how a restarted `swarmd` finds its tasks."""
        ...

    def logs(self, request: LogRequest) -> AsyncIterator[LogFrame]:
        """The container's log as frames; the last has `end` set."""
        ...


class TaskFailed(Exception):
    """The task's container ended, or will never run; `str(error)` is the task's error text."""


class TaskRejected(TaskFailed):
    """The node cannot create the container: bad image, bad mount, a taken host port."""


class DataPlane(Protocol):
    """The node's share of the overlay networks and the routing mesh. Implemented by `network`."""

    async def apply(self, configuration: NetworkConfiguration) -> frozenset[str]:
        """Make the kernel match the configuration: networks, tunnels, balancers; atomically where requests flow.

        On return no new connection goes to an endpoint that is not listed, and closed flows to withdrawn ones are
        forgotten, so that a reused source port is balanced afresh. Returns the ids of networks that the engine will
        not have as they should be for now, which the node does not carry: worth another call. Raises `OSError` and
        leaves what was in force when the kernel refuses.
        """
        ...

    async def avoid(self, node_ids: frozenset[str]) -> None:
        """Begin no connection to tasks on these nodes, nor name them, as far as other nodes serve the same.

        In force, whatever is applied, until the next call. Connections that have been answered stay; flows that have
        not are forgotten, so that the client's next try is balanced afresh. Draining endpoints and what `flows` says
        are untouched. Raises `OSError` when the kernel refuses; to be called again then.
        """
        ...

    async def flows(self, configuration: NetworkConfiguration) -> Flows:
        """Open connections through this node to the configuration's draining endpoints; forgets closed ones."""
        ...

    async def remove(self) -> None:
        """Take everything of ours out of the kernel."""
        ...


class FailureDetector(Protocol):
    """Tells which other nodes are dead, faster than the managers may act on it. Implemented by `network`."""

    @property
    def dead(self) -> frozenset[str]:
        """Ids of the nodes held dead now. A hint: at times a living one is among them."""
        ...

    def follow(self, configuration: GossipConfiguration) -> None:
        """Take part in the probing as this says from now on; takes effect while `run` runs."""
        ...

    async def wait_changed(self) -> None:
        """Return when `dead` may have changed since the last call. For one caller."""
        ...

    async def run(self) -> None:
        """Take part until cancelled; then nobody is held dead any more, and nothing is remembered."""
        ...


class Connections(Protocol):
    """Sockets inside a task's own network namespace. Implemented by `network`."""

    async def accepts(self, process_id: int, port: int | None = None) -> bool:
        """Whether something in the namespace of that process accepts TCP connections on the port, or without on any."""
        ...

    async def open_count(self, process_id: int) -> int:
        """Connections that clients hold open to servers in the namespace of that process, unread answers included."""
        ...


class NetworkRefused(OSError):
    """The engine will not have the network, however often it is asked: its subnet is in use on the node, say."""


class BridgeNetworks(Protocol):
    """The inner engine's networks that task containers attach to, one per cluster network. Implemented by `executor`.

    `network` names their bridge devices and joins the bridges of all nodes by tunnels. Every method raises `OSError`
    when the engine refuses.
    """

    async def ensure(self, network: AttachedNetwork, bridge_name: str) -> bool:
        """Make the engine have the network, its bridge up under that device name. One that differs is replaced.

        An attachable network gets its own name in the engine, so that `docker run --network` finds it there. False
        when something else holds that name for now: to be asked again. Raises `NetworkRefused` besides `OSError`.
        """
        ...

    async def remove(self, network_id: str) -> None:
        """Take the network from the engine. Idempotent; refused while a container is attached."""
        ...

    async def names(self) -> Mapping[str, str]:
        """Network id -> the engine's name, of every network of ours that the engine has."""
        ...


@dataclass(frozen=True, slots=True)
class Adapters:
    """What one node has to act with: an implementation of each interface."""

    engine: Engine
    data_plane: DataPlane
    failure_detector: FailureDetector
    connections: Connections
    files: TaskFiles
