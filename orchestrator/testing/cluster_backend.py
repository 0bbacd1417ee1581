"""Fakes of what the HTTP layer needs: a cluster of one process whose actions take effect at once.

No decider runs: tests say what tasks do. Time stands still until it is moved.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from aiohttp import web

from orchestrator.api.backend import InitOptions, JoinOptions, LocalNode, LocalNodeState
from orchestrator.api.errors import EngineRefusal
from orchestrator.identity import base36
from orchestrator.model.cluster import Cluster, ClusterSpec, RootRotation
from orchestrator.model.consensus import ConsensusStatus
from orchestrator.model.errors import InvalidArgument, NoLeader, Unavailable, WrongKey
from orchestrator.model.network import INGRESS_NETWORK_NAME, Network, NetworkConfiguration
from orchestrator.model.node import Availability, Node, NodeDescription, NodeRole, NodeSpec, NodeState, Reachability
from orchestrator.model.resolver_settings import ResolverSettings
from orchestrator.model.service import Resources
from orchestrator.model.session import LogFrame, LogRequest
from orchestrator.state import actions as act
from orchestrator.state.apply import apply
from orchestrator.state.cluster_state import ClusterState

START = 1_795_459_831.5
"""When the fakes' clock begins: 2026-11-23T18:50:31.5Z."""
UNLOCK_KEY = "SWMKEY-1-" + "k" * 43
_TOKEN = "SWMTKN-1-" + "3" * 50 + "-{}"


class FakeVault:
    """`interfaces.SecretVault` that keeps nobody out: what is sealed is the id, then the payload backwards."""

    def seal(self, secret_id: str, payload: bytes) -> bytes:
        """Backwards."""
        return secret_id.encode() + payload[::-1]

    def open(self, secret_id: str, sealed: bytes) -> bytes:
        """Forwards again; `Unavailable` for another secret's."""
        if not sealed.startswith(secret_id.encode()):
            raise Unavailable(f"secret {secret_id} cannot be decrypted with this manager's key")
        return sealed.removeprefix(secret_id.encode())[::-1]


@dataclass
class FakeClusterBackend:
    """A manager whose proposals are applied at once, or fail as told."""

    state: ClusterState = field(default_factory=ClusterState)
    is_leader: bool = True
    has_leader: bool = True
    leader_node_id: str | None = None
    time: float = START
    failures: list[Exception] = field(default_factory=list)
    """Raised by the next proposals, one each, instead of applying them."""
    proposed: list[tuple[act.Action, ...]] = field(default_factory=list)
    forwarded: list[tuple[str, str]] = field(default_factory=list)
    """(method, path) of requests handed on."""
    subscribers: list[Callable[[], None]] = field(default_factory=list)
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)
    """Network id -> hostname -> name of a container that somebody started by hand."""
    log_frames: Callable[[LogRequest], Sequence[LogFrame]] = lambda request: ()
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def vault(self) -> "FakeVault":
        """Seals by turning bytes round."""
        return FakeVault()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back soon after every applied batch."""
        loop = asyncio.get_running_loop()

        def notify() -> None:
            loop.call_soon_threadsafe(callback)

        self.subscribers.append(notify)
        return lambda: self.subscribers.remove(notify)

    async def catch_up(self) -> None:
        """The state is the only one. Raises `NoLeader` when there is none."""
        if not self.has_leader:
            raise NoLeader

    async def find_leader(self) -> bool:
        """As told. Raises `NoLeader` when there is none."""
        if not self.has_leader:
            raise NoLeader
        return self.is_leader

    async def propose(self, actions: Sequence[act.Action]) -> None:
        """Apply the actions as one batch."""
        if self.failures:
            raise self.failures.pop(0)
        self.apply(*actions)

    def apply(self, *actions: act.Action) -> None:
        """What a committed batch does."""
        apply(self.state, act.Batch(at=self.time, actions=actions))
        self.proposed.append(actions)
        for callback in list(self.subscribers):
            callback()

    async def attached(self, network_id: str) -> Mapping[str, str]:
        """What the test attached, in `attachments`."""
        return self.attachments.get(network_id, {})

    def new_id(self) -> str:
        """Ids that differ from their first digit on and are the same in every run."""
        return base36(next(self._ids) * 7_919**10, 25)[::-1]

    def new_secret(self) -> str:
        """A join token's random part, the same in every run."""
        return base36(next(self._ids), 25)

    def new_unlock_key(self) -> str:
        """A key, the same in every run."""
        return "SWMKEY-1-" + base36(next(self._ids), 43)

    def new_root(self, certificate: str, key: str) -> RootRotation:
        """A rotation by name only."""
        if certificate and key == "bad":
            raise InvalidArgument("certificate key mismatch")
        return RootRotation(certificate or "", key, "cross-signed", digest="4" * 50, issuer_public_key="new")

    def now(self) -> float:
        """The time as set."""
        return self.time

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Note the request and answer in the leader's place."""
        self.forwarded.append((request.method, request.path))
        return web.json_response({"forwarded": request.path})

    async def ask_leader(self, method: str, path: str, params: Mapping[str, str]) -> Any:
        """Note the request; the leader found one unused network."""
        self.forwarded.append((method, path))
        return {"NetworksDeleted": ["leaders"]}

    async def logs(self, requests: Sequence[LogRequest]) -> AsyncIterator[LogFrame]:
        """The frames that `log_frames` gives for each request, then its end."""
        for request in requests:
            for frame in self.log_frames(request):
                yield replace(frame, number=request.number)
            yield LogFrame(number=request.number, end=True)


@dataclass
class FakeLifecycle:
    """A node that founds and joins clusters in memory."""

    local: LocalNode = field(default_factory=LocalNode)
    backend: FakeClusterBackend | None = None
    join_error: Exception | None = None
    network_configuration: NetworkConfiguration = field(default_factory=NetworkConfiguration)
    consensus_now: Callable[[], ConsensusStatus | None] = lambda: None

    @property
    def consensus(self) -> ConsensusStatus | None:
        """What `consensus_now` tells."""
        return self.consensus_now()

    def cluster(self) -> FakeClusterBackend | None:
        """What `create_app` is given as the cluster."""
        return self.backend

    async def init(self, options: InitOptions) -> str:
        """Found a cluster of this node."""
        address = options.addresses.advertise.partition(":")[0] or "127.0.0.1"
        if not address[0].isdigit():
            raise InvalidArgument("must specify a valid IP address or interface name")
        self.backend = cluster_of_one(options.spec, address, options.availability)
        node_id = self.backend.leader_node_id or ""
        self.local = LocalNode(
            LocalNodeState.ACTIVE, node_id, address, is_manager=True, managers=((node_id, f"{address}:2377"),)
        )
        return node_id

    async def join(self, options: JoinOptions) -> None:
        """Become a worker."""
        if self.join_error is not None:
            raise self.join_error
        self.local = LocalNode(
            LocalNodeState.ACTIVE, "w" * 25, "127.0.0.2", managers=(("m" * 25, options.remote_managers[0]),)
        )

    async def unlock(self, key: str) -> None:
        """Be an active manager again, by the one key there is."""
        if key != UNLOCK_KEY:
            raise WrongKey
        self.local = replace(self.local, state=LocalNodeState.ACTIVE)

    async def leave(self, *, force: bool) -> None:
        """Forget the cluster."""
        self.local = LocalNode()
        self.backend = None


@dataclass
class FakeEngineClient:
    """An engine with fixed answers by path."""

    handle: Callable[[str, str, Mapping[str, str], Mapping[str, Any] | None], Any] | None = None
    """Answers `request`: (method, path, query, body)."""
    requests: list[tuple[str, str, dict[str, str], Mapping[str, Any] | None]] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "/info": {"ID": "engine", "Name": "n1", "OSType": "linux", "Swarm": {"LocalNodeState": "inactive"}},
            "/version": {
                "Version": "26.1.5",
                "ApiVersion": "1.45",
                "MinAPIVersion": "1.24",
                "Components": [{"Name": "Engine", "Version": "26.1.5", "Details": {"ApiVersion": "1.45"}}],
            },
        }
    )

    resolver_files: dict[str, ResolverSettings] = field(default_factory=dict)
    """Path -> what the file there says."""
    lines: list[bytes] = field(default_factory=list)
    """What `stream` begins with."""
    stream_ends: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by tests that want it to end."""

    async def get_json(self, path: str) -> dict[str, Any]:
        """A copy of the answer; `Unavailable` when there is none."""
        if path not in self.answers:
            raise Unavailable("the engine does not answer")
        return dict(self.answers[path])

    async def request(
        self, method: str, path: str, params: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """What the fake's `handle` answers; without one, an engine that has no networks of its own."""
        self.requests.append((method, path, dict(params or {}), body))
        if self.handle is not None:
            return self.handle(method, path, params or {}, body)
        if (method, path) == ("GET", "/networks"):
            return []
        raise EngineRefusal(HTTPStatus.NOT_FOUND, f"network {path.split('/')[2]} not found")

    async def resolver_file(self, settings: ResolverSettings) -> str:
        """A path at which this engine sees such a file."""
        path = f"/resolv.conf.{len(self.resolver_files)}"
        self.resolver_files[path] = settings
        return path

    @contextlib.asynccontextmanager
    async def stream(self, path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines in `lines`, then silence until `stream_ends`."""
        self.requests.append(("GET", path, dict(params), None))

        async def lines() -> AsyncIterator[bytes]:
            for line in self.lines:
                yield line
            await self.stream_ends.wait()

        yield lines()


def cluster_of_one(
    spec: ClusterSpec | None = None, address: str = "127.0.0.1", availability: Availability = Availability.ACTIVE
) -> FakeClusterBackend:
    """A founded cluster: its record, the ingress network, and one manager "n1" that leads."""
    backend = FakeClusterBackend()
    cluster = Cluster(
        id=backend.new_id(),
        spec=spec or ClusterSpec(),
        worker_token=_TOKEN.format("w" * 25),
        manager_token=_TOKEN.format("m" * 25),
    )
    ingress = Network(backend.new_id(), INGRESS_NETWORK_NAME, subnet="10.0.0.0/24", vni=4096, ingress=True)
    backend.apply(act.CreateCluster(cluster), act.CreateNetwork(ingress))
    backend.leader_node_id = add_node(backend, "n1", NodeRole.MANAGER, address, availability)
    return backend


def add_node(
    backend: FakeClusterBackend,
    hostname: str,
    role: NodeRole = NodeRole.WORKER,
    address: str = "127.0.0.2",
    availability: Availability = Availability.ACTIVE,
) -> str:
    """Let a node join, ready; returns its id."""
    node = Node(
        id=backend.new_id(),
        spec=NodeSpec(role=role, availability=availability),
        description=NodeDescription(
            hostname,
            engine_version="26.1.5",
            resources=Resources(nano_cpus=2_000_000_000, memory_bytes=8 * 2**30),
            plugins=(("Network", "overlay"), ("Volume", "local")),
        ),
        address=address,
        role=role,
        state=NodeState.READY,
        reachability=Reachability.REACHABLE if role is NodeRole.MANAGER else Reachability.UNKNOWN,
    )
    backend.apply(act.AddNode(node))
    return node.id
