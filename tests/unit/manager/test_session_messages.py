"""Messages that are too long, and nonsense: what they end, and what they must not."""

import asyncio

import aiohttp
import pytest

from orchestrator.manager import authority, dispatcher
from orchestrator.model.files import FilePayload
from orchestrator.model.limits import MAX_AGENT_MESSAGE_BYTES, MAX_FILES_BYTES
from orchestrator.model.node import NodeDescription
from orchestrator.model.session import Heartbeat, Hello
from orchestrator.model.task import TaskState, TaskStatus
from orchestrator.state.codec import encode_message
from tests.unit.manager.session_rig import DEADLINE_S, OWN, Rig, until


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
