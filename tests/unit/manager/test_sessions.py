"""An agent and a dispatcher talking for real: WebSocket, mutual TLS, 127.0.0.1."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from orchestrator import clock
from orchestrator.agent.session import Session
from orchestrator.manager import authority, dispatcher
from orchestrator.manager.dispatcher import Dispatcher
from orchestrator.manager.observations import Observations
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.files import FilePayload
from orchestrator.model.gossip import GossipKey, Keyring
from orchestrator.model.limits import MAX_AGENT_MESSAGE_BYTES, MAX_FILES_BYTES
from orchestrator.model.node import Node, NodeDescription, NodeRole, NodeSpec
from orchestrator.model.service import ContainerSpec, Service, ServiceSpec, TaskSpec
from orchestrator.model.session import LOG_WINDOW_FRAMES, Assignments, Heartbeat, Hello, LogFrame, LogRequest
from orchestrator.model.task import Task, TaskState, TaskStatus
from orchestrator.state.actions import (
    AddNode,
    AllocateTask,
    AssignTask,
    CreateCluster,
    CreateService,
    CreateTask,
    RemoveNode,
    RotateGossipKeys,
    SetDesiredState,
)
from orchestrator.state.codec import encode_message
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

    async def logs(self, request: LogRequest) -> AsyncIterator[LogFrame]:
        for line in self.log:
            yield LogFrame(request.number, 1, line)
        yield LogFrame(request.number, end=True)


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
        session = Session(self.agent, lambda: (f"{server.host}:{server.port}",), lambda: tls)
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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_node_gets_its_tasks_and_the_manager_learns_who_it_is() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            assert [task.id for task in rig.agent.received[-1].tasks] == ["t1"]
            assert rig.agent.received[-1].managers == ("10.1.0.1:2377",)
            await until(lambda: rig.store.state.node("n1").description.hostname == "n1")

    asyncio.run(scenario())


def test_progress_of_the_data_plane_reaches_the_deciders_at_once() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: "n1" in rig.observations.by_node)
            woken = rig.woken
            rig.agent.heartbeat = Heartbeat(7, (("t1", 2),))
            session.progressed()
            await until(lambda: rig.observations.by_node["n1"].revision == 7)
            assert rig.observations.by_node["n1"].flows == (("t1", 2),)
            assert rig.woken > woken

    asyncio.run(scenario())


def test_a_reported_status_is_committed_and_an_impossible_one_holds_back_no_other() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: session.connected_to is not None)
            session.report("t1", TaskStatus(TaskState.RUNNING, "started"))
            await until(lambda: rig.store.state.task("t1").status.state is TaskState.RUNNING)
            session.report("t1", TaskStatus(TaskState.PREPARING, "late"))
            session.report("unknown", TaskStatus(TaskState.RUNNING))
            session.report("t1", TaskStatus(TaskState.FAILED, "finished"))
            await until(lambda: rig.store.state.task("t1").status.state is TaskState.FAILED)

    asyncio.run(scenario())


def test_statuses_missed_by_an_old_session_come_with_the_next_hello() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.agent.statuses = (("t1", TaskStatus(TaskState.RUNNING, "started")),)
        async with rig.running():
            await until(lambda: rig.store.state.task("t1").status.state is TaskState.RUNNING)

    asyncio.run(scenario())


def test_a_changed_order_is_sent_without_being_asked() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            await rig.store.propose((SetDesiredState("t1", TaskState.SHUTDOWN),))
            await until(lambda: rig.agent.received[-1].tasks[0].ordered_state is TaskState.SHUTDOWN)

    asyncio.run(scenario())


def test_a_session_in_which_nothing_can_be_sent_is_ended_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        rig = Rig()
        with monkeypatch.context() as broken:
            broken.setattr(dispatcher, "tasks_for", Mock(side_effect=KeyError("no such task")))
            async with rig.running():
                await until(lambda: "no assignments can be sent node=n1" in caplog.text)
                assert "no such task" in caplog.text
                broken.undo()
                # The agent came back by itself.
                await until(lambda: bool(rig.agent.received))

    asyncio.run(scenario())


def test_turned_gossip_keys_are_handed_out_at_once() -> None:
    async def scenario() -> None:
        rig = Rig(replace(CLUSTER, spec=ClusterSpec(heartbeat_period=60.0)))
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            assert rig.agent.received[-1].keyring == Keyring("c1", ())
            keys = (GossipKey("first", 1.0), GossipKey("second", 2.0))
            await rig.store.propose((RotateGossipKeys((), keys),))
            await until(lambda: rig.agent.received[-1].keyring == Keyring("c1", ("first", "second")))

    asyncio.run(scenario())


def test_a_deposed_leader_ends_its_sessions_and_the_agent_returns_to_it_when_it_leads_again() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: session.connected_to is not None)
            rig.store.depose()
            await until(lambda: session.connected_to is None)
            rig.store.elect()
            await until(lambda: session.connected_to is not None)

    asyncio.run(scenario())


def test_every_order_carries_the_term_and_a_deposed_leader_is_left() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: bool(rig.agent.received))
            assert rig.agent.received[-1].term == rig.agent.term == rig.store.leading_term == 1
            # A later leader has been heard elsewhere; this one does not know, and goes on giving orders.
            rig.agent.term = 2
            orders = len(rig.agent.received)
            await rig.store.propose((SetDesiredState("t1", TaskState.SHUTDOWN),))
            await until(lambda: session.connected_to is None)
            assert len(rig.agent.received) == orders
            rig.store.elect()
            await until(lambda: len(rig.agent.received) > orders)
            assert rig.agent.received[-1].tasks[0].ordered_state is TaskState.SHUTDOWN

    asyncio.run(scenario())


def test_a_node_that_claims_to_be_another_gets_no_session() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.agent.node_id = "n2"
        async with rig.running() as session:
            await until(lambda: session.connected_to is not None)
            await until(lambda: session.connected_to is None)
            assert not rig.agent.received

    asyncio.run(scenario())


def test_a_removed_node_loses_its_session() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: bool(rig.agent.received))
            await rig.store.propose((RemoveNode("n1", force=True),))
            await until(lambda: session.connected_to is None)

    asyncio.run(scenario())


def test_a_log_comes_from_the_node_that_has_it() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            request = LogRequest(41, "t1")
            async with asyncio.timeout(DEADLINE_S):
                frames = [frame async for frame in rig.dispatcher.logs([("n1", request)])]
            assert [frame.data for frame in frames] == ["one\n", "two\n", ""]
            assert {frame.number for frame in frames} == {41}
            assert [f async for f in rig.dispatcher.logs([("gone", replace(request, number=1))])] == [
                LogFrame(1, end=True)
            ]

    asyncio.run(scenario())


def test_a_log_nobody_reads_holds_up_nothing_and_is_read_whole_later() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.agent.log = tuple(f"{number}\n" for number in range(5 * LOG_WINDOW_FRAMES))
        async with rig.running() as session:
            await until(lambda: bool(rig.agent.received))
            logs = rig.dispatcher.logs([("n1", LogRequest(1, "t1"))])
            async with asyncio.timeout(DEADLINE_S):
                first = await anext(logs)
                # The log waits for its reader, but what comes behind it arrives.
                session.report("t1", TaskStatus(TaskState.PREPARING))
                await until(lambda: rig.store.state.task("t1").status.state is TaskState.PREPARING)
                rest = [frame async for frame in logs]
            assert [first.data, *(frame.data for frame in rest)] == [*rig.agent.log, ""]

    asyncio.run(scenario())


def test_a_message_that_is_too_long_ends_the_session() -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: bool(rig.agent.received))
            session.report("t1", TaskStatus(TaskState.RUNNING, "x" * MAX_AGENT_MESSAGE_BYTES))
            await until(lambda: session.connected_to is None)
            assert rig.store.state.task("t1").status.state is not TaskState.RUNNING

    asyncio.run(scenario())


def test_files_come_as_one_message_takes_them() -> None:
    files = [FilePayload(f"f{number}", b"x" * 2**20) for number in range(40)]
    assert dispatcher._fitting(files, "n1") == tuple(files[: MAX_FILES_BYTES // 2**20])


@pytest.mark.parametrize(
    "word",
    [
        b"",
        b"\xff",
        b"[]",
        b"[[], {}]",
        b'["Hello", {}]',
        b'["Nothing", {}]',
        b"[" * 100_000,
        encode_message(Heartbeat(0)),
        encode_message(Hello("n1", NodeDescription("n1"), "10.1.0.5; reboot")),
        encode_message(Hello("n2", NodeDescription("n1"), "10.1.0.5")),
    ],
    ids=lambda word: repr(word[:20]),
)
def test_a_session_that_begins_with_nonsense_is_ended(word: bytes) -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running() as session:
            await until(lambda: session.connected_to is not None)
            url, tls = f"https://{rig.address}/session", authority.client_context(OWN)
            async with aiohttp.ClientSession() as http, http.ws_connect(url, ssl=tls) as socket:
                await socket.send_bytes(word)
                received = await socket.receive(timeout=DEADLINE_S)
                assert received.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            # The node's own session goes on.
            session.report("t1", TaskStatus(TaskState.RUNNING))
            await until(lambda: rig.store.state.task("t1").status.state is TaskState.RUNNING)
            assert rig.store.state.node("n1").address == "10.1.0.5"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "word",
    [b"\xff", b"[[], {}]", b"[" * 100_000, b'["LogFrame", {"number": 1, "data": "\xe2\x82\xac"}]'],
    ids=["no text", "no name", "too deep", "an unknown log"],
)
def test_nonsense_in_a_session_ends_at_most_that(word: bytes) -> None:
    async def scenario() -> None:
        rig = Rig()
        async with rig.running():
            await until(lambda: bool(rig.agent.received))
            url, tls = f"https://{rig.address}/session", authority.client_context(OWN)
            async with aiohttp.ClientSession() as http, http.ws_connect(url, ssl=tls) as socket:
                await socket.send_bytes(encode_message(await rig.agent.hello()))
                await socket.send_bytes(word)
            # It took over from the node's own, which is soon back and says in its hello what the other did not.
            rig.agent.statuses = (("t1", TaskStatus(TaskState.RUNNING)),)
            await until(lambda: rig.store.state.task("t1").status.state is TaskState.RUNNING)

    asyncio.run(scenario())
