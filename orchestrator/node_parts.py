"""What runs on a node while it is a member: its agent, and on a manager the store and all that is served from it."""

import asyncio
import logging
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from orchestrator.agent.agent import Agent
from orchestrator.agent.certificate_keeper import CertificateKeeper
from orchestrator.duties import CRASHED
from orchestrator.interfaces import Adapters
from orchestrator.kept_membership import KeptMembership, Remembered
from orchestrator.manager import authority
from orchestrator.manager.authority import NodeIdentity
from orchestrator.manager.manager import Manager
from orchestrator.model.errors import Unavailable
from orchestrator.model.node import NodeRole
from orchestrator.raft.journal import DamagedData
from orchestrator.raft.membership import Membership
from orchestrator.raft.node import RaftStore
from orchestrator.raft.tls_socket import PeerTls

logger = logging.getLogger(__name__)

HAND_OVER_DEADLINE_S = 1.0


class NodeParts:
    """One node's agent, store and manager; whoever changes them holds the node's lock."""

    def __init__(
        self,
        directory: Path,
        kept: KeptMembership,
        adapters: Adapters,
        *,
        make_api: Callable[[], web.Application],
        make_keeper: Callable[[], CertificateKeeper],
    ) -> None:
        self.raft_directory = directory / "raft"
        self._kept = kept
        self._adapters = adapters
        self._make_api = make_api
        self._make_keeper = make_keeper
        self.agent: Agent | None = None
        self.manager: Manager | None = None
        self.store: RaftStore | None = None
        self.damage = ""
        """Why this manager cannot take part: its log is not whole. One line."""
        self._client_tls: ssl.SSLContext | None = None
        self._server_tls: ssl.SSLContext | None = None
        self._consensus_tls: ssl.SSLContext | None = None

    async def start(self) -> None:
        """Start what the kept membership calls for. Raises `OSError` when the node's addresses cannot be had."""
        own, membership = self._kept.pair
        self.make_contexts(own)
        if own.role is NodeRole.MANAGER:
            try:
                await self.start_manager(membership)
            except DamagedData as error:
                # The agent goes on: the node's tasks are not to blame, and a demotion makes a sound node of it.
                self.damage = str(error)
                logger.error("this manager does not take part: %s", error)
        self.agent = self.make_agent(own.node_id, membership)
        self.agent.start()

    async def close(self) -> None:
        """Stop all; tasks and data path run on."""
        agent, self.agent = self.agent, None
        if agent is not None:
            await agent.close()
        await self.stop_manager()

    def make_agent(self, node_id: str, membership: Remembered) -> Agent:
        """An agent that is not started yet."""
        return Agent(
            node_id,
            membership.address,
            self._adapters,
            managers=membership.managers,
            remember_managers=self._kept.remember_managers,
            term=membership.term,
            remember_term=self._kept.remember_term,
            tls=self.connecting,
            certificates=self._make_keeper(),
        )

    def make_contexts(self, own: NodeIdentity) -> None:
        """Connections from now on are made as `own`; those that are open stay."""
        self._client_tls = authority.client_context(own)
        self._server_tls = authority.server_context(own)
        self._consensus_tls = authority.consensus_context(own)

    def connecting(self) -> ssl.SSLContext:
        """As whom this node asks others."""
        assert self._client_tls is not None
        return self._client_tls

    def _serving(self) -> ssl.SSLContext:
        assert self._server_tls is not None
        return self._server_tls

    def _serving_consensus(self) -> ssl.SSLContext:
        assert self._consensus_tls is not None
        return self._consensus_tls

    async def change_role(self, role: NodeRole, membership: Remembered) -> None:
        """Be a manager from now on, or no longer; tasks and data path never notice."""
        self.damage = ""
        await self.stop_manager()
        # Of an earlier time as manager; a voter's log is only erased when the others no longer count on it.
        shutil.rmtree(self.raft_directory, ignore_errors=True)
        if role is NodeRole.MANAGER:
            await self.start_manager(membership)

    async def start_manager(self, membership: Remembered) -> None:
        """Start the store and what serves from it, or neither. Raises `DamagedData` and `OSError`."""
        self.store = RaftStore(
            membership.address,
            self.raft_directory,
            PeerTls(self._serving_consensus, self.connecting, authority.manager_of),
            peers=membership.raft_peers,
            log_key=membership.secrets_key,
        )
        try:
            self.store.start()
            self.store.subscribe(_ends_with(self.store))
            self.store.subscribe(self._follow_lock)
            raft = Membership(self.store)
            self.manager = Manager(
                self.store,
                server_tls=self._serving,
                client_tls=self.connecting,
                secrets_key=membership.secrets_key,
                add_raft_member=raft.add_manager,
                remove_raft_member=raft.remove_manager,
                voters=raft.voters,
                api=self._make_api(),
            )
            await self.manager.start(membership.address, membership.management_port)
        except BaseException:
            await self.stop_manager()
            raise

    async def stop_manager(self) -> None:
        """Stop both, if they run."""
        manager, self.manager = self.manager, None
        store, self.store = self.store, None
        if manager is not None:
            await manager.close()
        if store is not None:
            await store.close()

    async def hand_over(self) -> None:
        """Let another manager lead; without one in time the others elect one when they miss us."""
        if self.store is None or not self.store.is_leader or not self.store.peers:
            return
        try:
            await Membership(self.store).transfer_leadership(timeout=HAND_OVER_DEADLINE_S)
        except Unavailable as error:
            logger.info("no manager took over: %s", error)

    def known_managers(self) -> tuple[tuple[str, str], ...]:
        """(node id, "address:port") of the managers this node knows; an id that it does not know is ""."""
        if self.manager is not None:
            nodes = self.manager.state.managers
            return tuple(sorted((node.id, node.management_address) for node in nodes))
        if self.agent is None:
            return ()
        # Managers carry the cluster's networks like everybody else.
        ids = {peer.address: peer.node_id for peer in self.agent.network_configuration.peers}
        return tuple((ids.get(address.rpartition(":")[0], ""), address) for address in self.agent.managers)

    def _follow_lock(self) -> None:
        """Seal this manager's keys as the cluster wants it; called after every change of the state."""
        store = self.store
        if store is None or not store.is_ready or store.state.cluster is None:
            return
        wanted = store.state.cluster.unlock_key
        try:
            if self._kept.lock_as(wanted):
                logger.info("the keys of this manager are %s", "locked" if wanted else "not locked")
        except OSError as error:
            logger.error("the keys of this manager could not be written anew: %s", error)


def _ends_with(store: RaftStore) -> Callable[[], None]:
    """What tells the daemon when the store gave up by itself: a manager without its store is half a node."""

    def check() -> None:
        if store.failure is not None:
            context = {"message": "the raft store gave up", "exception": store.failure, CRASHED: "raft store"}
            asyncio.get_running_loop().call_exception_handler(context)

    return check
