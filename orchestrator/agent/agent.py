"""The agent: worker, network follower and session of one node, wired together."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

from orchestrator.agent.certificate_keeper import CertificateKeeper
from orchestrator.agent.failure_follower import FailureFollower
from orchestrator.agent.network_follower import NetworkFollower
from orchestrator.agent.session import Session
from orchestrator.agent.worker import Worker
from orchestrator.duties import end_duties, start_duty
from orchestrator.interfaces import Adapters
from orchestrator.model.gossip import GossipConfiguration
from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.node import NodeDescription
from orchestrator.model.session import Assignments, Heartbeat, Hello, LogFrame, LogRequest

logger = logging.getLogger(__name__)


class Agent:
    """One node's agent. `start` and `close` are called once each."""

    def __init__(
        self,
        node_id: str,
        address: str,
        adapters: Adapters,
        *,
        managers: Sequence[str],
        remember_managers: Callable[[tuple[str, ...]], None],
        term: int = 0,
        remember_term: Callable[[int], None] = lambda term: None,
        tls: Callable[[], ssl.SSLContext],
        certificates: CertificateKeeper,
    ) -> None:
        self._certificates = certificates
        self._node_id = node_id
        self._address = address
        self._engine = adapters.engine
        self._data_plane = adapters.data_plane
        self._failure_detector = adapters.failure_detector
        self._managers = tuple(managers)
        self._newest_revision = 0
        self._term = term
        self._remember_term = remember_term
        self._description: NodeDescription | None = None
        self._remember_managers = remember_managers
        self._session = Session(self, lambda: self._managers, tls)
        self._network = NetworkFollower(
            adapters.data_plane,
            adapters.connections,
            process_ids=lambda: self._worker.process_ids(),
            progressed=self._session.progressed,
        )
        self._failures = FailureFollower(
            adapters.failure_detector, adapters.data_plane, held_dead=self._leave_dead_managers
        )
        self._worker = Worker(
            adapters.engine,
            adapters.connections,
            adapters.files,
            networks_carried=self._network.wait_carried,
            data_plane_reached=self._network.wait_reached,
            report=self._session.report,
        )
        self._duties: list[asyncio.Task[None]] = []

    @property
    def managers(self) -> tuple[str, ...]:
        """Addresses of all managers as last heard."""
        return self._managers

    @property
    def network_configuration(self) -> NetworkConfiguration:
        """What the managers last told this node to carry."""
        return self._network.newest or NetworkConfiguration()

    def start(self) -> None:
        """Begin to follow the managers."""
        self._duties = [
            start_duty(self._network.run(), "network"),
            start_duty(self._failure_detector.run(), "failure detector"),
            start_duty(self._failures.run(), "failure follower"),
            start_duty(self._session.run(), "session"),
            start_duty(self._certificates.run(self._session.certified), "certificate keeper"),
        ]

    async def close(self) -> None:
        """End the session; containers and data plane stay as they are."""
        await end_duties(*self._duties)
        await self._worker.close()

    async def leave(self) -> None:
        """End the session, and every container and rule of the swarm on this node.

        A network that somebody's own container uses stays, and goes when the node next belongs to a swarm.
        """
        await end_duties(*self._duties)
        await self._worker.erase_all()
        await self._worker.close()
        try:
            await self._data_plane.remove()
        except OSError as error:
            logger.error("not everything of the swarm's networks could be removed: %s", error)

    async def hello(self) -> Hello:
        """The node as it is now."""
        progress = self._network.progress
        return Hello(
            self._node_id,
            await self._describe(),
            self._address,
            progress.revision,
            progress.flows,
            self._worker.statuses,
        )

    async def _describe(self) -> NodeDescription:
        try:
            self._description = await self._engine.describe()
        except OSError:
            # A hung engine's containers and this node's balancers go on: the node must not be lost with it.
            if self._description is None:
                raise
        return replace(self._description, trust=self._certificates.trust)

    def progress(self) -> Heartbeat:
        """How far the data plane is."""
        return self._network.progress

    def _leave_dead_managers(self, node_ids: frozenset[str]) -> None:
        peers = self.network_configuration.peers
        self._session.avoid(frozenset(peer.address for peer in peers if peer.node_id in node_ids))

    def obeys(self, term: int) -> bool:
        """Whether no later election has been heard of, in this life or an earlier one of the daemon."""
        if term < self._term:
            logger.warning("refused a deposed leader's orders term=%s newest=%s", term, self._term)
            return False
        if term > self._term:
            # On the disk before anything is done by it.
            self._remember_term(term)
            self._term = term
        return True

    async def assigned(self, assignments: Assignments) -> None:
        """Obey, unless something newer has come."""
        if assignments.network.revision < self._newest_revision:
            logger.warning("ignored assignments of revision %s", assignments.network.revision)
            return
        self._newest_revision = assignments.network.revision
        if assignments.managers != self._managers:
            self._managers = assignments.managers
            self._remember_managers(assignments.managers)
        self._certificates.heard(assignments.certified_role, assignments.role, assignments.trust)
        self._network.follow(assignments.network)
        peers = assignments.network.peers
        self._failure_detector.follow(GossipConfiguration(self._node_id, self._address, assignments.keyring, peers))
        await self._worker.obey(assignments.tasks, (*assignments.secrets, *assignments.configs))

    async def logs(self, request: LogRequest) -> AsyncIterator[LogFrame]:
        """Frames of a task's log; just the end when the task is not here."""
        async for frame in self._engine.logs(request):
            yield frame

    async def attached(self) -> Mapping[str, str]:
        """What was attached by hand, by network id."""
        return await self._engine.attached()
