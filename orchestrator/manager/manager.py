"""One manager: the parts that run only where the cluster's state is kept, wired together."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from aiohttp import web

from orchestrator import clock, identity
from orchestrator.control.loop import Reconciler
from orchestrator.duties import end_duties, start_duty
from orchestrator.interfaces import SecretVault, Store
from orchestrator.manager import roots
from orchestrator.manager.access_rules import LEADERS_PATHS, STRANGERS_PATHS, check_membership, check_role
from orchestrator.manager.authority import peer_identity
from orchestrator.manager.dispatcher import Dispatcher
from orchestrator.manager.forwarding import FORWARD_PREFIX, Forwarder, LeaderWatch
from orchestrator.manager.joining import Joining
from orchestrator.manager.key_locker import new_unlock_key
from orchestrator.manager.leader_loop import LeaderLoop
from orchestrator.manager.leaving import Leaving
from orchestrator.manager.listener import Listener
from orchestrator.manager.observations import Observations
from orchestrator.manager.roles import RoleKeeper
from orchestrator.manager.secret_vault import AesGcmVault
from orchestrator.model.cluster import RootRotation
from orchestrator.model.errors import Forbidden, Unavailable
from orchestrator.model.limits import MAX_API_BODY_BYTES
from orchestrator.model.node import NodeRole
from orchestrator.model.session import LogFrame, LogRequest
from orchestrator.state.actions import Action
from orchestrator.state.cluster_state import ClusterState

SHUTDOWN_DEADLINE_S = 1.0
NO_CERTIFICATE = "this takes a certificate of the swarm"


class Manager:
    """Serves joins, sessions and forwarded API requests on the management port, and runs the leader loop."""

    def __init__(
        self,
        store: Store,
        *,
        server_tls: Callable[[], ssl.SSLContext],
        client_tls: Callable[[], ssl.SSLContext],
        secrets_key: str,
        add_raft_member: Callable[[str], Awaitable[None]],
        remove_raft_member: Callable[[str], Awaitable[None]],
        voters: Callable[[], Collection[str]],
        api: web.Application,
    ) -> None:
        self._store = store
        self._server_tls = server_tls
        self._vault = AesGcmVault(secrets_key)
        self._observations = Observations()
        self._leader_loop = LeaderLoop(store, self._observations, Reconciler())
        self._leaders = LeaderWatch(store)
        self._forwarder = Forwarder(self._leaders, client_tls)
        self._dispatcher = Dispatcher(
            store,
            self._observations,
            vault=self._vault,
            wake_leader_loop=self._leader_loop.wake,
            manager_addresses=self.manager_addresses,
            node_id_of=lambda request: _member(request)[0],
        )
        self._roles = RoleKeeper(store, remove_raft_member, voters)
        self._joining = Joining(
            store,
            add_raft_member=add_raft_member,
            leaving=Leaving(store, self._roles.demote),
            manager_addresses=self.manager_addresses,
            secrets_key=secrets_key,
            node_id_of=lambda request: _member(request)[0],
        )
        self._runner = web.AppRunner(self._application(api), shutdown_timeout=SHUTDOWN_DEADLINE_S)
        self._listener: Listener | None = None
        self._duties: list[asyncio.Task[None]] = []

    # What the API needs of a manager -----------------------------------------------------------------------

    @property
    def state(self) -> ClusterState:
        """This manager's replica."""
        return self._store.state

    @property
    def is_leader(self) -> bool:
        """Whether requests are answered here or forwarded."""
        return self._store.is_leader

    @property
    def leader_node_id(self) -> str | None:
        """Id of the node that leads, as far as known."""
        leader = self._store.leader_address
        return next((node.id for node in self._store.state.managers if node.address == leader), None)

    @property
    def vault(self) -> SecretVault:
        """Seals and opens secrets."""
        return self._vault

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after the state changed; see `Store.subscribe`."""
        return self._store.subscribe(callback)

    async def catch_up(self) -> None:
        """Until all that was acknowledged before is in the state; see `Store.catch_up`."""
        await self._store.catch_up()

    async def find_leader(self) -> bool:
        """Whether requests are answered here or forwarded; see `ClusterBackend.find_leader`."""
        if not self._store.is_leader:
            await self._leaders.wait()
        return self._store.is_leader

    async def propose(self, actions: Sequence[Action]) -> None:
        """Commit a batch; see `Store.propose`."""
        await self._store.propose(actions)

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """The leader's answer."""
        return await self._forwarder.forward(request)

    async def ask_leader(self, method: str, path: str, params: Mapping[str, str]) -> Any:
        """The JSON of the leader's answer; see `Forwarder.ask`."""
        return await self._forwarder.ask(method, path, params)

    def logs(self, requests: Sequence[LogRequest]) -> AsyncIterator[LogFrame]:
        """Frames of the logs of several tasks, merged."""
        tasks = self._store.state.tasks
        located = [(tasks[request.task_id].node_id, request) for request in requests if request.task_id in tasks]
        return self._dispatcher.logs(located)

    async def attached(self, network_id: str) -> Mapping[str, str]:
        """What holds the network; see `ClusterBackend.attached`."""
        asked = [node for node in self._store.state.nodes.values() if node.is_ready]
        answers = await asyncio.gather(*(self._dispatcher.attached(node.id) for node in asked))
        found = ((node, answer.get(network_id)) for node, answer in zip(asked, answers, strict=True))
        return {node.description.hostname: name for node, name in found if name is not None}

    def new_id(self) -> str:
        """A fresh object id."""
        return identity.new_id()

    def new_unlock_key(self) -> str:
        """A fresh key to lock managers with."""
        return new_unlock_key()

    def new_root(self, certificate: str, key: str) -> RootRotation:
        """The rotation to this root, both PEM, or to a fresh one when they are empty. Raises `InvalidArgument`."""
        cluster = self._store.state.cluster
        if cluster is None:
            raise Unavailable("this manager has no cluster yet")
        return roots.rotation_to(cluster, certificate, key, clock.now())

    def new_secret(self) -> str:
        """A fresh secret part of a join token."""
        return identity.new_secret()

    def now(self) -> float:
        """The cluster's time, seconds since the epoch."""
        return self._store.now()

    # Life --------------------------------------------------------------------------------------------------

    def manager_addresses(self) -> tuple[str, ...]:
        """ "address:port" of all managers, in order of address."""
        return tuple(sorted(node.management_address for node in self._store.state.managers))

    async def start(self, address: str, port: int) -> None:
        """Listen and begin to decide. Raises `OSError` when one cannot listen there."""
        await self._runner.setup()
        assert self._runner.server is not None
        self._listener = Listener(self._runner.server, self._server_tls, is_node=self._is_node)
        self._listener.start(address, port)
        self._duties = [
            start_duty(self._leader_loop.run(), "leader loop"),
            start_duty(self._dispatcher.run(), "dispatcher"),
            start_duty(self._roles.run(), "role keeper"),
        ]

    @property
    def port(self) -> int:
        """The port listened on."""
        assert self._listener is not None
        return self._listener.port

    async def close(self) -> None:
        """End all duties; the store is closed by whoever opened it."""
        await end_duties(*self._duties)
        if self._listener is not None:
            await self._listener.close()
        await self._runner.cleanup()
        await self._forwarder.close()
        self._leaders.close()

    def _application(self, api: web.Application) -> web.Application:
        application = web.Application(middlewares=[self._members_only], client_max_size=MAX_API_BODY_BYTES)
        application.router.add_get("/ca", self._handle_ca)
        application.router.add_post("/join", self._joining.handle_join)
        application.router.add_post("/raft", self._joining.handle_raft_member)
        application.router.add_post("/renew", self._joining.handle_renew)
        application.router.add_post("/leave", self._joining.handle_leave)
        application.router.add_get("/session", self._dispatcher.handle_session)
        application.add_subapp(FORWARD_PREFIX, api)
        return application

    @web.middleware
    async def _members_only(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path not in STRANGERS_PATHS:
            try:
                node_id, role = _member(request)
                check_role(role, request.path)
                if self._store.is_leader or request.path not in LEADERS_PATHS:
                    check_membership(self._store.state, node_id, request.path)
            except (Unavailable, Forbidden) as error:
                return web.Response(status=403, text=str(error))
        return await handler(request)

    def _is_node(self, address: str) -> bool:
        return any(node.address == address for node in self._store.state.nodes.values())

    async def _handle_ca(self, _: web.Request) -> web.StreamResponse:
        """The root certificate: public, and checked against the join token by whoever fetches it."""
        cluster = self._store.state.cluster
        if cluster is None:
            return web.Response(status=503, text="this manager has no cluster yet")
        return web.Response(text=cluster.ca_certificate, content_type="application/x-pem-file")


def _member(request: web.Request) -> tuple[str, NodeRole]:
    transport = request.transport
    peer = peer_identity(transport.get_extra_info("ssl_object")) if transport else None
    if peer is None:
        raise Unavailable(NO_CERTIFICATE)
    return peer.node_id, peer.role
