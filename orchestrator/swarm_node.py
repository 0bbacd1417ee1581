"""This node's part in a swarm: founding, joining, leaving, and picking up again after a restart."""

import asyncio
import logging
import shutil
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from orchestrator import addresses, clock, identity, store_waits
from orchestrator.agent import joining
from orchestrator.agent.agent import Agent
from orchestrator.agent.certificate_keeper import CertificateKeeper
from orchestrator.api.backend import LocalNode, LocalNodeState
from orchestrator.duties import CRASHED
from orchestrator.interfaces import Connections, DataPlane, Engine, FailureDetector, TaskFiles
from orchestrator.kept_membership import KeptMembership, Remembered
from orchestrator.manager import authority, first_contact, key_locker, roots, secret_vault
from orchestrator.manager.authority import NodeIdentity
from orchestrator.manager.manager import Manager
from orchestrator.manager.roles import demotions_of_others
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.consensus import ConsensusStatus
from orchestrator.model.errors import FailedPrecondition, InvalidArgument, Unavailable
from orchestrator.model.joining import JoinReply, JoinRequest, RenewRequest
from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.node import MANAGEMENT_PORT, Availability, Node, NodeRole, NodeSpec, NodeTrust, Reachability
from orchestrator.raft import recovery
from orchestrator.raft.journal import DamagedData
from orchestrator.raft.membership import Membership
from orchestrator.raft.node import RaftStore
from orchestrator.state.actions import AddNode, CreateCluster

logger = logging.getLogger(__name__)

JOIN_DEADLINE_S = 20.0
"""Docker's swarmConnectTimeout."""
ROOT_DEADLINE_S = 10.0
"""How long managers that do not answer are asked for their root: less than a join may take, so that it can say why."""
HAND_OVER_DEADLINE_S = 1.0
LEAVE_DEADLINE_S = 90.0
"""Longer than the leader waits for this node's tasks to be drained."""
LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)
"""Docker's text."""


class SwarmNode:
    """Holds the manager and agent of this node while it is a member; implements the API's `Lifecycle`."""

    def __init__(
        self,
        directory: Path,
        *,
        engine: Engine,
        data_plane: DataPlane,
        failure_detector: FailureDetector,
        connections: Connections,
        files: TaskFiles,
        make_api: Callable[["SwarmNode"], web.Application],
    ) -> None:
        self._directory = directory
        self._engine = engine
        self._data_plane = data_plane
        self._failure_detector = failure_detector
        self._connections = connections
        self._files = files
        self._make_api = make_api
        self._identity: NodeIdentity | None = None
        self._membership: Remembered | None = None
        self._store: RaftStore | None = None
        self._agent: Agent | None = None
        self.manager: Manager | None = None
        self._client_tls: ssl.SSLContext | None = None
        self._server_tls: ssl.SSLContext | None = None
        self._changing = asyncio.Lock()
        self._kept = KeptMembership(directory)
        self._damage = ""
        """Why this manager cannot take part: its log is not whole. One line."""

    # What the API asks -------------------------------------------------------------------------------------

    @property
    def local(self) -> LocalNode:
        """This node as `docker info` shows it."""
        if self._kept.is_locked:
            return LocalNode(LocalNodeState.LOCKED, is_manager=True)
        if self._identity is None or self._membership is None:
            return LocalNode(LocalNodeState.PENDING if self._changing.locked() else LocalNodeState.INACTIVE)
        return LocalNode(
            state=LocalNodeState.ERROR if self._damage else LocalNodeState.ACTIVE,
            error=self._damage,
            node_id=self._identity.node_id,
            address=self._membership.address,
            is_manager=self.manager is not None or bool(self._damage),
            managers=self._known_managers(),
        )

    @property
    def network_configuration(self) -> NetworkConfiguration:
        """What the managers last told this node to carry; empty outside of a cluster."""
        return self._agent.network_configuration if self._agent else NetworkConfiguration()

    @property
    def consensus(self) -> ConsensusStatus | None:
        """How this node stands in the consensus; None when it is no manager."""
        return self._store.status if self._store else None

    async def init(
        self,
        *,
        listen_address: str,
        advertise_address: str,
        data_path_address: str,
        data_path_port: int,
        default_address_pools: Sequence[str],
        subnet_size: int,
        spec: ClusterSpec,
        availability: Availability,
        force_new_cluster: bool,
    ) -> str:
        """Found a cluster of this one manager, or by force go on alone with the one it has; returns its node id."""
        async with self._changing:
            if force_new_cluster and self._store is not None:
                return await self._go_on_alone(await addresses.choose_advertised(advertise_address, data_path_address))
            self._refuse_members()
            if force_new_cluster:
                raise FailedPrecondition("--force-new-cluster needs the state of a former manager: there is none here")
            await addresses.ensure_listening(listen_address)
            port = addresses.management_port(listen_address, advertise_address)
            address = await addresses.choose_advertised(advertise_address, data_path_address)
            founded = authority.found(identity.new_id(), spec, clock.now())
            cluster = replace(
                founded,
                default_address_pools=tuple(default_address_pools),
                subnet_size=subnet_size or founded.subnet_size,
                unlock_key=key_locker.new_unlock_key() if spec.auto_lock_managers else "",
                data_path_port=data_path_port or founded.data_path_port,
            )
            own = authority.issue(cluster, identity.new_id(), NodeRole.MANAGER, clock.now())
            managers = (f"{address}:{port}",)
            key = secret_vault.new_key()
            self._remember(own, Remembered(address, managers, cluster.raft_key, key, management_port=port))
            try:
                await self._activate()
                await self._found(cluster, own, address, availability)
            except BaseException as error:
                await self._deactivate()
                self._forget()
                if isinstance(error, OSError):
                    text = f"manager stopped: failed to listen on {address}:{port}: {error}"
                    raise InvalidArgument(text) from error
                raise
            return own.node_id

    async def _go_on_alone(self, address: str) -> str:
        """The other managers are lost for good: this one keeps the cluster, and they are workers when they return."""
        own, membership = self._identity, self._membership
        assert own is not None
        assert membership is not None
        if address != membership.address:
            raise InvalidArgument(f"advertised address {address} must stay {membership.address}")
        await self._stop_manager()
        await asyncio.to_thread(recovery.stand_alone, self._directory / "raft")
        alone = replace(membership, managers=(f"{address}:{MANAGEMENT_PORT}",), raft_peers=())
        self._save(alone)
        await self._start_manager(alone)
        assert self._store is not None
        await store_waits.wait_leading(self._store)
        demotions = demotions_of_others(self._store.state.nodes.values(), own.node_id)
        if demotions:
            await self._store.propose(demotions)
        logger.warning("this manager goes on alone: the others are workers now")
        return own.node_id

    async def join(
        self,
        *,
        listen_address: str,
        advertise_address: str,
        data_path_address: str,
        remote_addresses: Sequence[str],
        token: str,
        availability: Availability,
    ) -> None:
        """Become a member of the cluster whose managers these addresses are."""
        async with self._changing:
            self._refuse_members()
            await addresses.ensure_listening(listen_address)
            port = addresses.management_port(listen_address, advertise_address)
            address = await addresses.choose_advertised(advertise_address, data_path_address)
            remotes = [remote if ":" in remote else f"{remote}:{MANAGEMENT_PORT}" for remote in remote_addresses]
            ca_certificate = await first_contact.download_root_ca(remotes, token, ROOT_DEADLINE_S)
            key, request = authority.certificate_request()
            reply = await joining.join(
                JoinRequest(token, request, await self._engine.describe(), address, availability, port),
                remotes,
                authority.anonymous_context(ca_certificate),
                JOIN_DEADLINE_S,
            )
            own = NodeIdentity(
                node_id=reply.node_id,
                role=reply.role,
                certificate_pem=reply.certificate,
                key_pem=key,
                ca_pem=reply.ca_certificate,
                cluster_id=reply.cluster_id,
            )
            self._remember(
                own,
                Remembered(
                    address,
                    reply.managers,
                    reply.raft_key,
                    reply.secrets_key,
                    reply.raft_peers,
                    management_port=port,
                ),
            )
            try:
                await self._activate()
                if own.role is NodeRole.MANAGER:
                    await joining.become_raft_member(reply.managers, authority.client_context(own), JOIN_DEADLINE_S)
            except BaseException:
                await self._deactivate()
                self._forget()
                raise

    async def leave(self, *, force: bool) -> None:
        """Stop being a member. That a manager leaves only by force is seen to in the API."""
        async with self._changing:
            if self._kept.is_locked:
                await self._abandon()
                return
            if self._identity is None:
                raise Unavailable("This node is not part of a swarm")
            await self._hand_over()
            agent, tls = self._agent, self._client_tls
            if agent is not None and tls is not None:
                await self._ask_to_leave(agent.managers, tls)
                self._agent = None
                await agent.leave()
            await self._deactivate()
            self._forget()

    async def unlock(self, key: str) -> None:
        """Go on with the keys that are sealed under this one. Raises `InvalidArgument` and `WrongKey`."""
        async with self._changing:
            if self._kept.is_locked:
                self._kept.unlock(key)
                try:
                    await self._resume()
                except BaseException:
                    await self._deactivate()
                    self._identity = self._membership = None
                    self._kept.relock()
                    raise

    async def _abandon(self) -> None:
        """Leave without the keys by which others could be told."""
        own, membership = self._kept.load_sealed()
        agent = self._make_agent(own.node_id, membership)
        self._forget()
        await agent.leave()

    async def _ask_to_leave(self, managers: Sequence[str], tls: ssl.SSLContext) -> None:
        own = self._membership.management_address if self._membership else ""
        others = [manager for manager in managers if manager != own]
        if others and not await joining.leave(others, tls, LEAVE_DEADLINE_S):
            logger.warning("no manager let this node go: it leaves all the same")

    # Certificate and role, for the certificate keeper --------------------------------------------------------

    @property
    def certified_role(self) -> NodeRole:
        """The role the present certificate names."""
        return self._identity.role if self._identity else NodeRole.WORKER

    @property
    def certificate_life(self) -> tuple[float, float]:
        """When the present certificate was issued and when it ends, seconds since the epoch."""
        assert self._identity is not None
        return self._identity.issued_at, self._identity.expires_at

    async def renew_certificate(self) -> None:
        """Get a new certificate, live by it, and take on the role it names; tasks and data path never notice."""
        managers, tls = self._agent.managers if self._agent else (), self._client_tls
        assert tls is not None
        key, request = authority.certificate_request()
        reply = await joining.renew(RenewRequest(request), managers, tls, JOIN_DEADLINE_S)
        async with self._changing:
            if self._identity is not None:
                await self._live_by(self._identity, reply, key)

    @property
    def trust(self) -> NodeTrust:
        """The root that is trusted, and who vouches for the present certificate."""
        assert self._identity is not None
        return roots.trust_of(self._identity.certificate_pem, self._identity.ca_pem)

    async def trust_root(self, root: str) -> None:
        """Trust this root (PEM) and no other, from the next connection on."""
        async with self._changing:
            if self._identity is not None and self._membership is not None:
                own = self._identity.trusting(root)
                self._remember(own, self._membership)
                self._make_contexts(own)

    async def become_voter(self) -> None:
        """Ask to take part in the consensus, this manager's store being there for it."""
        managers, tls = self._agent.managers if self._agent else (), self._client_tls
        assert tls is not None
        await joining.become_raft_member(managers, tls, JOIN_DEADLINE_S)

    async def _live_by(self, before: NodeIdentity, reply: JoinReply, key: str) -> None:
        assert self._membership is not None
        own = replace(
            before, role=reply.role, certificate_pem=reply.certificate, key_pem=key, ca_pem=reply.ca_certificate
        )
        membership = replace(
            self._membership,
            managers=reply.managers,
            raft_key=reply.raft_key,
            secrets_key=reply.secrets_key,
            raft_peers=reply.raft_peers,
        )
        self._remember(own, membership)
        if own.role is NodeRole.WORKER:
            self._kept.lock_as("", own, membership)
        self._make_contexts(own)
        if own.role is before.role:
            return
        logger.info("this node is a %s now", own.role)
        self._damage = ""
        await self._stop_manager()
        # Of an earlier time as manager; a voter's log is only erased when the others no longer count on it.
        shutil.rmtree(self._directory / "raft", ignore_errors=True)
        if own.role is NodeRole.MANAGER:
            await self._start_manager(membership)

    # Life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Pick up where the node was before the daemon was restarted."""
        async with self._changing:
            if not self._kept.exists:
                return
            if self._kept.is_locked:
                logger.warning("the keys of this manager are locked: docker swarm unlock")
                return
            await self._resume()

    async def close(self) -> None:
        """Stop the daemon's parts; tasks and data path run on. A leader hands over first."""
        async with self._changing:
            await self._hand_over()
            await self._deactivate()

    async def _resume(self) -> None:
        self._identity, self._membership = self._kept.load()
        await self._activate()

    async def _activate(self) -> None:
        own, membership = self._identity, self._membership
        assert own is not None
        assert membership is not None
        self._make_contexts(own)
        if own.role is NodeRole.MANAGER:
            try:
                await self._start_manager(membership)
            except DamagedData as error:
                # The agent goes on: the node's tasks are not to blame, and a demotion makes a sound node of it.
                self._store = None
                self._damage = str(error)
                logger.error("this manager does not take part: %s", error)
        self._agent = self._make_agent(own.node_id, membership)
        self._agent.start()

    def _make_agent(self, node_id: str, membership: Remembered) -> Agent:
        return Agent(
            node_id,
            membership.address,
            engine=self._engine,
            data_plane=self._data_plane,
            failure_detector=self._failure_detector,
            connections=self._connections,
            files=self._files,
            managers=membership.managers,
            remember_managers=self._remember_managers,
            term=membership.term,
            remember_term=self._remember_term,
            tls=self._connecting,
            certificates=CertificateKeeper(self),
        )

    def _make_contexts(self, own: NodeIdentity) -> None:
        """For connections from now on; those that are open stay."""
        self._client_tls = authority.client_context(own)
        self._server_tls = authority.server_context(own)

    def _connecting(self) -> ssl.SSLContext:
        assert self._client_tls is not None
        return self._client_tls

    def _serving(self) -> ssl.SSLContext:
        assert self._server_tls is not None
        return self._server_tls

    async def _start_manager(self, membership: Remembered) -> None:
        self._store = RaftStore(
            membership.address,
            self._directory / "raft",
            membership.raft_key,
            peers=membership.raft_peers,
            log_key=membership.secrets_key,
        )
        self._store.start()
        self._store.subscribe(_ends_with(self._store))
        self._store.subscribe(self._follow_lock)
        raft = Membership(self._store)
        self.manager = Manager(
            self._store,
            server_tls=self._serving,
            client_tls=self._connecting,
            secrets_key=membership.secrets_key,
            add_raft_member=raft.add_manager,
            remove_raft_member=raft.remove_manager,
            api=self._make_api(self),
        )
        await self.manager.start(membership.address, membership.management_port)

    async def _stop_manager(self) -> None:
        manager, self.manager = self.manager, None
        store, self._store = self._store, None
        if manager is not None:
            await manager.close()
        if store is not None:
            await store.close()

    async def _found(self, cluster: Cluster, own: NodeIdentity, address: str, availability: Availability) -> None:
        store = self._store
        assert store is not None
        assert self._membership is not None
        await store_waits.wait_leading(store)
        node = Node(
            id=own.node_id,
            spec=NodeSpec(role=NodeRole.MANAGER, availability=availability),
            description=await self._engine.describe(),
            address=address,
            management_port=self._membership.management_port,
            role=NodeRole.MANAGER,
            reachability=Reachability.REACHABLE,
        )
        await store.propose((CreateCluster(cluster), AddNode(node)))
        await store_waits.wait_settled(store, node.id)

    async def _hand_over(self) -> None:
        """Let another manager lead; without one in time the others elect one when they miss us."""
        if self._store is None or not self._store.is_leader or not self._store.peers:
            return
        try:
            await Membership(self._store).transfer_leadership(timeout=HAND_OVER_DEADLINE_S)
        except Unavailable as error:
            logger.info("no manager took over: %s", error)

    async def _deactivate(self) -> None:
        agent, self._agent = self._agent, None
        if agent is not None:
            await agent.close()
        await self._stop_manager()

    # What is kept on disk ----------------------------------------------------------------------------------

    def _follow_lock(self) -> None:
        """Seal this manager's keys as the cluster wants it; called after every change of the state."""
        store, own, membership = self._store, self._identity, self._membership
        if store is None or own is None or membership is None or not store.is_ready or store.state.cluster is None:
            return
        wanted = store.state.cluster.unlock_key
        try:
            if self._kept.lock_as(wanted, own, membership):
                logger.info("the keys of this manager are %s", "locked" if wanted else "not locked")
        except OSError as error:
            logger.error("the keys of this manager could not be written anew: %s", error)

    def _remember(self, own: NodeIdentity, membership: Remembered) -> None:
        self._identity, self._membership = own, membership
        self._kept.save(own, membership)

    def _remember_managers(self, managers: tuple[str, ...]) -> None:
        if self._membership is not None:
            self._save(replace(self._membership, managers=managers))

    def _remember_term(self, term: int) -> None:
        if self._membership is None:
            return
        try:
            self._save(replace(self._membership, term=term))
        except OSError as error:
            # Until the daemon is restarted it is remembered all the same, and the node must follow its leader.
            logger.error("the leader's term cannot be kept: %s", error)

    def _save(self, membership: Remembered) -> None:
        self._membership = membership
        self._kept.save_remembered(membership)

    def _forget(self) -> None:
        self._identity = None
        self._membership = None
        self._damage = ""
        self._kept.forget()

    def _refuse_members(self) -> None:
        if self._kept.is_locked:
            raise Unavailable(LOCKED)
        if self._identity is not None:
            raise Unavailable(
                'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm '
                "and join another one."
            )

    def _known_managers(self) -> tuple[tuple[str, str], ...]:
        if self.manager is not None:
            nodes = self.manager.state.managers
            return tuple(sorted((node.id, node.management_address) for node in nodes))
        if self._agent is None:
            return ()
        # Managers carry the cluster's networks like everybody else.
        ids = {peer.address: peer.node_id for peer in self._agent.network_configuration.peers}
        return tuple((ids.get(address.rpartition(":")[0], ""), address) for address in self._agent.managers)


def _ends_with(store: RaftStore) -> Callable[[], None]:
    """What tells the daemon when the store gave up by itself: a manager without its store is half a node."""

    def check() -> None:
        if store.failure is not None:
            context = {"message": "the raft store gave up", "exception": store.failure, CRASHED: "raft store"}
            asyncio.get_running_loop().call_exception_handler(context)

    return check
