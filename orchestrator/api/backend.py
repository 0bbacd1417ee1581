"""What the HTTP layer needs of the rest, as narrow Protocols; `daemon.py` hands in what implements them.

`orchestrator/testing/cluster_backend.py` ships fakes.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from aiohttp import web

from orchestrator.interfaces import SecretVault
from orchestrator.model.cluster import ClusterSpec, RootRotation
from orchestrator.model.consensus import ConsensusStatus
from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.node import Availability
from orchestrator.model.resolver_settings import ResolverSettings
from orchestrator.model.session import LogFrame, LogRequest
from orchestrator.state.actions import Action
from orchestrator.state.cluster_state import ClusterState


class LocalNodeState(StrEnum):
    """How this node stands to a cluster, by Docker's names."""

    INACTIVE = "inactive"
    PENDING = "pending"
    ACTIVE = "active"
    ERROR = "error"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class LocalNode:
    """This node's own view of its membership, known without asking anyone."""

    state: LocalNodeState = LocalNodeState.INACTIVE
    node_id: str = ""
    address: str = ""
    is_manager: bool = False
    error: str = ""
    managers: tuple[tuple[str, str], ...] = ()
    """(node id, "address:port") of the managers this node knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a node is to be reached, as the user wrote it: "0.0.0.0:2377", "eth0", "" for the default."""

    listen: str
    advertise: str = ""
    data_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitOptions:
    """How a cluster is to be founded; ports 0, sizes 0 and no pools mean the default."""

    addresses: Addresses
    spec: ClusterSpec = field(default_factory=ClusterSpec)
    availability: Availability = Availability.ACTIVE
    data_path_port: int = 0
    default_address_pools: tuple[str, ...] = ()
    subnet_size: int = 0
    force_new_cluster: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinOptions:
    """Which cluster is to be joined, and as what."""

    addresses: Addresses
    remote_managers: tuple[str, ...]
    """"address" or "address:port" of those who are asked."""
    token: str
    availability: Availability = Availability.ACTIVE


class Lifecycle(Protocol):
    """Founding, joining and leaving a cluster."""

    @property
    def local(self) -> LocalNode:
        """This node now."""
        ...

    @property
    def network_configuration(self) -> NetworkConfiguration:
        """What the managers last told this node to carry; empty outside of a cluster."""
        ...

    @property
    def consensus(self) -> ConsensusStatus | None:
        """How this node stands in the consensus; None when it is no manager."""
        ...

    async def init(self, options: InitOptions) -> str:
        """Found a cluster and return this node's id. Raises `InvalidArgument` for an address that is not its own."""
        ...

    async def join(self, options: JoinOptions) -> None:
        """Join the cluster of any of the remote managers. Raises a `ClusterError` with the reason when refused."""
        ...

    async def leave(self, *, force: bool) -> None:
        """Leave the cluster; whether a manager may is decided before."""
        ...

    async def unlock(self, key: str) -> None:
        """Go on with the keys that are sealed under this one.

        Raises `InvalidArgument` for what is no key, `WrongKey` for another, and as `init` does.
        """
        ...


class ClusterBackend(Protocol):
    """The cluster as one of its managers serves it."""

    @property
    def state(self) -> ClusterState:
        """This manager's replica: read it, never write it."""
        ...

    @property
    def is_leader(self) -> bool:
        """Whether this manager answers itself instead of forwarding."""
        ...

    @property
    def leader_node_id(self) -> str | None:
        """Which node leads, as far as known."""
        ...

    @property
    def vault(self) -> SecretVault:
        """Seals and opens secrets."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back (soon, coalesced) after the state or the leadership changed; returns what ends it."""
        ...

    async def catch_up(self) -> None:
        """Return when all that was acknowledged anywhere before the call is in `state`. Raises `NoLeader`."""
        ...

    async def find_leader(self) -> bool:
        """Whether this manager leads; waits a moment when none does, for an election. Raises `NoLeader`."""
        ...

    async def propose(self, actions: Sequence[Action]) -> None:
        """Commit the actions; raises the `ClusterError` with which they were refused, or `Unavailable`."""
        ...

    def new_id(self) -> str:
        """A fresh id in swarm mode's format."""
        ...

    def new_secret(self) -> str:
        """The random part of a join token."""
        ...

    def new_unlock_key(self) -> str:
        """A fresh key to lock managers with, in swarm mode's format."""
        ...

    def new_root(self, certificate: str, key: str) -> RootRotation:
        """The rotation to this root, both PEM, or to a fresh one when they are empty. Raises `InvalidArgument`."""
        ...

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Hand the request to the leader and its answer back.

        Raises `NoLeader` when there is none, `LostLeadership` when it was lost on the way.
        """
        ...

    async def ask_leader(self, method: str, path: str, params: Mapping[str, str]) -> Any:
        """The JSON that the leader answers; raises `Unavailable` when there is none or it refuses."""
        ...

    def logs(self, requests: Sequence[LogRequest]) -> AsyncIterator[LogFrame]:
        """The frames of all requested logs as they come; a frame's number is its request's.

        Ends when every log has ended. Closing the iterator cancels what is still running.
        """
        ...

    async def attached(self, network_id: str) -> Mapping[str, str]:
        """Hostname -> name of a container on the network that is no task, of each node that is ready and has one.

        Raises `Unavailable` when such a node does not say; those that are down are not asked.
        """
        ...


class EngineClient(Protocol):
    """This node's own container engine, asked for what its answers must be merged with."""

    async def get_json(self, path: str) -> dict[str, Any]:
        """The JSON object the engine answers to `GET path`; raises `Unavailable` when it does not answer."""
        ...

    async def request(
        self, method: str, path: str, params: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """The JSON of the engine's answer, None when it is empty.

        Raises `EngineRefusal` with the engine's own words and status, `Unavailable` when it does not answer.
        """
        ...

    async def resolver_file(self, settings: ResolverSettings) -> str:
        """The path, as the engine sees it, of a resolv.conf(5) that says so. Raises `Unavailable`."""
        ...

    def stream(self, path: str, params: Mapping[str, str]) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The lines of the engine's answer to `GET path` as they come; raises as `request`."""
        ...
