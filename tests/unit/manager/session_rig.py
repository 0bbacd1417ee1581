"""An agent's session with a dispatcher, for real: WebSocket, mutual TLS, 127.0.0.1."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import web
from aiohttp.test_utils import TestServer

from orchestrator import clock
from orchestrator.agent.session import Session
from orchestrator.manager import authority
from orchestrator.manager.dispatcher import Dispatcher
from orchestrator.manager.observations import Observations
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.container import ContainerSpec
from orchestrator.model.node import Node, NodeDescription, NodeRole, NodeSpec
from orchestrator.model.service import Service, ServiceSpec, TaskSpec
from orchestrator.model.session import Assignments, Heartbeat, Hello, LogFrame, LogRequest
from orchestrator.model.task import Task, TaskStatus
from orchestrator.state.actions import (
    AddNode,
    AllocateTask,
    AssignTask,
    CreateCluster,
    CreateService,
    CreateTask,
)
from orchestrator.testing.cluster_backend import FakeVault
from orchestrator.testing.memory_store import MemoryStore

DEADLINE_S = 5.0
CLUSTER = authority.found("c1", ClusterSpec(heartbeat_period=0.1), clock.now())
OWN = authority.issue(CLUSTER, "n1", NodeRole.WORKER, clock.now())
SPEC = TaskSpec(ContainerSpec("web:1"))


class AgentStub:
    """The node's parts, reduced to what a session needs."""

    def __init__(self, node_id: str = "n1") -> None:
        self.node_id = node_id
        self.heartbeat = Heartbeat(0)
        self.statuses: tuple[tuple[str, TaskStatus], ...] = ()
        self.received: list[Assignments] = []
        self.attachments: dict[str, str] | None = {"net1": "byhand"}
        """None: its engine does not answer."""
        self.log: tuple[str, ...] = ("one\n", "two\n")
        self.term = 0

    async def hello(self) -> Hello:
        return Hello(self.node_id, NodeDescription("n1"), "10.1.0.5", statuses=self.statuses)

    def progress(self) -> Heartbeat:
        return self.heartbeat

    def obeys(self, term: int) -> bool:
        if term < self.term:
            return False
        self.term = term
        return True

    async def assigned(self, assignments: Assignments) -> None:
        self.received.append(assignments)

    async def attached(self) -> Mapping[str, str]:
        if self.attachments is None:
            raise OSError("the engine hangs")
        return self.attachments

    async def logs(self, request: LogRequest) -> AsyncIterator[LogFrame]:
        for line in self.log:
            yield LogFrame(request.number, 1, line)
        yield LogFrame(request.number, end=True)


class Relay:
    """Stands between an agent and a manager, with an address of its own, until it dies as a machine does: silently."""

    def __init__(self, manager: str) -> None:
        self._host, _, self._port = manager.rpartition(":")
        self._streams: list[asyncio.StreamWriter] = []
        self._pumps: set[asyncio.Task[None]] = set()
        self._is_dead = False
        self.address = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.2")
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        try:
            yield
        finally:
            server.close()
            for pump in self._pumps:
                pump.cancel()
            for stream in self._streams:
                stream.close()

    def die(self) -> None:
        self._is_dead = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._host, int(self._port))
        self._streams += [writer, there_writer]
        for pump in (self._pump(reader, there_writer), self._pump(there_reader, writer)):
            self._pumps.add(asyncio.create_task(pump))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if not self._is_dead:
                sink.write(data)


class Rig:
    """A store, a dispatcher behind TLS, and one agent's session with it."""

    def __init__(self, cluster: Cluster = CLUSTER) -> None:
        self.store = MemoryStore(clock=clock.now)
        self.observations = Observations()
        self.woken = 0
        self.agent = AgentStub()
        self.dispatcher = Dispatcher(
            self.store,
            self.observations,
            vault=FakeVault(),
            wake_leader_loop=self._wake,
            manager_addresses=lambda: ("10.1.0.1:2377",),
            node_id_of=_certified_node,
        )
        self._cluster = cluster
        self.address = ""
        self.managers: list[str] | None = None
        """Whom the agent may ask; without a list the one manager there is."""

    def _wake(self) -> None:
        self.woken += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Session]:
        await self.store.propose(
            (
                CreateCluster(self._cluster),
                AddNode(Node("n1", NodeSpec(), NodeDescription(""), "10.1.0.5")),
                CreateService(Service("s1", ServiceSpec("web", SPEC), 0)),
                CreateTask(Task("t1", "s1", "web", 1, SPEC, 1)),
                AllocateTask("t1", ()),
                AssignTask("t1", "n1"),
            )
        )
        application = web.Application()
        application.router.add_get("/session", self.dispatcher.handle_session)
        server = TestServer(application, scheme="https")
        await server.start_server(ssl=authority.server_context(_manager()))
        self.address = f"{server.host}:{server.port}"
        tls = authority.client_context(OWN)
        session = Session(self.agent, lambda: [self.address] if self.managers is None else self.managers, lambda: tls)
        duties = [asyncio.create_task(self.dispatcher.run()), asyncio.create_task(session.run())]
        try:
            yield session
        finally:
            for duty in duties:
                duty.cancel()
            await asyncio.gather(*duties, return_exceptions=True)
            await server.close()


def _manager() -> authority.NodeIdentity:
    return authority.issue(CLUSTER, "m1", NodeRole.MANAGER, clock.now())


def _certified_node(request: web.Request) -> str:
    assert request.transport is not None
    tls: ssl.SSLObject = request.transport.get_extra_info("ssl_object")
    peer = authority.peer_identity(tls)
    assert peer is not None
    return peer.node_id


async def until(condition: Callable[[], bool], seconds: float = DEADLINE_S) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
