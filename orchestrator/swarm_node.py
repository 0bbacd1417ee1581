"""This node's part in a swarm: founding, joining, leaving, and picking up again after a restart."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from orchestrator import addresses, clock, identity, store_waits
from orchestrator.agent import joining
from orchestrator.agent.certificate_keeper import CertificateKeeper
from orchestrator.api.backend import InitOptions, JoinOptions, LocalNode, LocalNodeState
from orchestrator.interfaces import Adapters
from orchestrator.kept_membership import KeptMembership, Remembered
from orchestrator.manager import authority, first_contact, key_locker, secret_vault
from orchestrator.manager.authority import NodeIdentity
from orchestrator.manager.manager import Manager
from orchestrator.manager.roles import demotions_of_others
from orchestrator.model.cluster import Cluster
from orchestrator.model.consensus import ConsensusStatus
from orchestrator.model.errors import FailedPrecondition, InvalidArgument, Unavailable
from orchestrator.model.joining import SWARM_CONNECT_TIMEOUT_S, JoinRequest
from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.node import MANAGEMENT_PORT, Availability, Node, NodeRole, NodeSpec, Reachability
from orchestrator.node_parts import NodeParts
from orchestrator.own_certificate import OwnCertificate
from orchestrator.raft import recovery
from orchestrator.raft.journal import DamagedData
from orchestrator.state.actions import AddNode, CreateCluster, LeapRevisions

logger = logging.getLogger(__name__)

ROOT_DEADLINE_S = 10.0
"""How long managers that do not answer are asked for their root: less than a join may take, so that it can say why."""
LEAVE_DEADLINE_S = 90.0
"""Longer than the leader waits for this node's tasks to be drained."""
LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)
ALREADY_A_MEMBER = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)
"""Docker's texts."""


class SwarmNode:
    """Implements the API's `Lifecycle`; one change of the membership at a time."""

    def __init__(
        self, directory: Path, adapters: Adapters, *, make_api: Callable[["SwarmNode"], web.Application]
    ) -> None:
        self._engine = adapters.engine
        self._changing = asyncio.Lock()
        self._kept = KeptMembership(directory)
        self._parts = NodeParts(
            directory,
            self._kept,
            adapters,
            make_api=lambda: make_api(self),
            make_keeper=lambda: CertificateKeeper(self.certificate),
        )
        self.certificate = OwnCertificate(self._kept, self._parts, self._changing)

    # What the API asks -------------------------------------------------------------------------------------

    @property
    def local(self) -> LocalNode:
        """This node as `docker info` shows it."""
        if self._kept.is_locked:
            return LocalNode(LocalNodeState.LOCKED, is_manager=True)
        if self._kept.identity is None:
            return LocalNode(LocalNodeState.PENDING if self._changing.locked() else LocalNodeState.INACTIVE)
        own, membership = self._kept.pair
        damage = self._parts.damage
        return LocalNode(
            state=LocalNodeState.ERROR if damage else LocalNodeState.ACTIVE,
            error=damage,
            node_id=own.node_id,
            address=membership.address,
            is_manager=self.manager is not None or bool(damage),
            managers=self._parts.known_managers(),
        )

    @property
    def manager(self) -> Manager | None:
        """What serves the cluster here, while this node is a manager."""
        return self._parts.manager

    @property
    def network_configuration(self) -> NetworkConfiguration:
        """What the managers last told this node to carry; empty outside of a cluster."""
        return self._parts.agent.network_configuration if self._parts.agent else NetworkConfiguration()

    @property
    def consensus(self) -> ConsensusStatus | None:
        """How this node stands in the consensus; None when it is no manager."""
        return self._parts.store.status if self._parts.store else None

    # Becoming a member, and ceasing to be one ----------------------------------------------------------------

    async def init(self, options: InitOptions) -> str:
        """Found a cluster of this one manager, or by force go on alone with the one it has; returns its node id."""
        given = options.addresses
        async with self._changing:
            if options.force_new_cluster and self._parts.store is not None:
                return await self._go_on_alone(await addresses.choose_advertised(given.advertise, given.data_path))
            self._refuse_members()
            if options.force_new_cluster:
                raise FailedPrecondition("--force-new-cluster needs the state of a former manager: there is none here")
            await addresses.ensure_listening(given.listen)
            port = addresses.management_port(given.listen, given.advertise)
            address = await addresses.choose_advertised(given.advertise, given.data_path)
            cluster = _new_cluster(options)
            own = authority.issue(cluster, identity.new_id(), NodeRole.MANAGER, clock.now())
            managers = (f"{address}:{port}",)
            key = secret_vault.new_key()
            self._kept.save(own, Remembered(address, managers, key, management_port=port))
            try:
                await self._parts.start()
                await self._found(cluster, own, options.availability)
            except BaseException as error:
                await self._undo()
                if isinstance(error, OSError):
                    text = f"manager stopped: failed to listen on {address}:{port}: {error}"
                    raise InvalidArgument(text) from error
                raise
            return own.node_id

    async def _found(self, cluster: Cluster, own: NodeIdentity, availability: Availability) -> None:
        store, (_, membership) = self._parts.store, self._kept.pair
        assert store is not None
        await store_waits.wait_leading(store)
        node = Node(
            id=own.node_id,
            spec=NodeSpec(role=NodeRole.MANAGER, availability=availability),
            description=await self._engine.describe(),
            address=membership.address,
            management_port=membership.management_port,
            role=NodeRole.MANAGER,
            reachability=Reachability.REACHABLE,
        )
        await store.propose((CreateCluster(cluster), AddNode(node)))
        await store_waits.wait_settled(store, node.id)

    async def _go_on_alone(self, address: str) -> str:
        """The other managers are lost for good: this one keeps the cluster, and they are workers when they return."""
        own, membership = self._kept.pair
        if address != membership.address:
            raise InvalidArgument(f"advertised address {address} must stay {membership.address}")
        await self._parts.stop_manager()
        try:
            await asyncio.to_thread(recovery.stand_alone, self._parts.raft_directory)
        except (OSError, DamagedData) as error:
            # Nothing has changed: it takes part as before.
            await self._parts.start_manager(membership)
            raise Unavailable(f"this manager cannot go on alone: {error}") from error
        alone = replace(membership, managers=(membership.management_address,), raft_peers=())
        self._kept.save_remembered(alone)
        await self._parts.start_manager(alone)
        store = self._parts.store
        assert store is not None
        await store_waits.wait_leading(store)
        others = demotions_of_others(store.state.nodes.values(), own.node_id)
        await store.propose((LeapRevisions(recovery.REVISION_LEAP), *others))
        logger.warning("this manager goes on alone: the others are workers now")
        return own.node_id

    async def join(self, options: JoinOptions) -> None:
        """Become a member of the cluster whose managers these addresses are."""
        given = options.addresses
        async with self._changing:
            self._refuse_members()
            await addresses.ensure_listening(given.listen)
            port = addresses.management_port(given.listen, given.advertise)
            address = await addresses.choose_advertised(given.advertise, given.data_path)
            remotes = [remote if ":" in remote else f"{remote}:{MANAGEMENT_PORT}" for remote in options.remote_managers]
            ca_certificate = await first_contact.download_root_ca(remotes, options.token, ROOT_DEADLINE_S)
            key, request = authority.certificate_request()
            description = await self._engine.describe()
            reply = await joining.join(
                JoinRequest(options.token, request, description, address, options.availability, port),
                remotes,
                authority.anonymous_context(ca_certificate),
                SWARM_CONNECT_TIMEOUT_S,
            )
            own = NodeIdentity(
                node_id=reply.node_id,
                role=reply.role,
                certificate_pem=reply.certificate,
                key_pem=key,
                ca_pem=reply.ca_certificate,
                cluster_id=reply.cluster_id,
            )
            membership = Remembered(address, reply.managers, reply.secrets_key, reply.raft_peers, management_port=port)
            self._kept.save(own, membership)
            try:
                await self._parts.start()
                if own.role is NodeRole.MANAGER:
                    await joining.become_raft_member(
                        reply.managers, authority.client_context(own), SWARM_CONNECT_TIMEOUT_S
                    )
            except BaseException:
                await self._undo()
                raise

    async def leave(self, *, force: bool) -> None:
        """Stop being a member. That a manager leaves only by force is seen to in the API."""
        async with self._changing:
            if self._kept.is_locked:
                await self._abandon()
                return
            if self._kept.identity is None:
                raise Unavailable("This node is not part of a swarm")
            await self._parts.hand_over()
            agent = self._parts.agent
            if agent is not None:
                await self._ask_to_leave(agent.managers)
                self._parts.agent = None
                await agent.leave()
            await self._undo()

    async def _abandon(self) -> None:
        """Leave without the keys by which others could be told."""
        own, membership = self._kept.load_sealed()
        agent = self._parts.make_agent(own.node_id, membership)
        self._kept.forget()
        await agent.leave()

    async def _ask_to_leave(self, managers: Sequence[str]) -> None:
        _, membership = self._kept.pair
        others = [manager for manager in managers if manager != membership.management_address]
        if others and not await joining.leave(others, self._parts.connecting(), LEAVE_DEADLINE_S):
            logger.warning("no manager let this node go: it leaves all the same")

    async def _undo(self) -> None:
        """Stop all, and forget that the node was a member."""
        await self._parts.close()
        self._parts.damage = ""
        self._kept.forget()

    def _refuse_members(self) -> None:
        if self._kept.is_locked:
            raise Unavailable(LOCKED)
        if self._kept.identity is not None:
            raise Unavailable(ALREADY_A_MEMBER)

    # The daemon's life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Pick up where the node was before the daemon was restarted."""
        async with self._changing:
            if not self._kept.exists:
                return
            if self._kept.is_locked:
                logger.warning("the keys of this manager are locked: docker swarm unlock")
                return
            await self._resume()

    async def unlock(self, key: str) -> None:
        """Go on with the keys that are sealed under this one. Raises `InvalidArgument` and `WrongKey`."""
        async with self._changing:
            if self._kept.is_locked:
                self._kept.unlock(key)
                try:
                    await self._resume()
                except BaseException:
                    await self._parts.close()
                    self._kept.relock()
                    raise

    async def _resume(self) -> None:
        self._kept.load()
        await self._parts.start()

    async def close(self) -> None:
        """Stop the daemon's parts; tasks and data path run on. A leader hands over first."""
        async with self._changing:
            await self._parts.hand_over()
            await self._parts.close()


def _new_cluster(options: InitOptions) -> Cluster:
    founded = authority.found(identity.new_id(), options.spec, clock.now())
    return replace(
        founded,
        default_address_pools=options.default_address_pools,
        subnet_size=options.subnet_size or founded.subnet_size,
        unlock_key=key_locker.new_unlock_key() if options.spec.auto_lock_managers else "",
        data_path_port=options.data_path_port or founded.data_path_port,
    )
