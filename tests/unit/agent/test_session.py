"""The agent's end of a session where its manager is a nuisance; the rest is in `unit/manager/test_sessions.py`."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Self

import pytest

from orchestrator.agent import session as session_module
from orchestrator.agent.session import Session
from orchestrator.model.node import NodeDescription
from orchestrator.model.session import Assignments, Heartbeat, Hello, LogFrame, LogRequest
from orchestrator.model.task import TaskState, TaskStatus

DEADLINE_S = 5.0


class Parts:
    """A node that has nothing to say by itself."""

    async def hello(self) -> Hello:
        return Hello("n1", NodeDescription("host"), "10.9.0.1", 0, (), ())

    def progress(self) -> Heartbeat:
        return Heartbeat(0, ())

    def obeys(self, term: int) -> bool:
        return True

    async def assigned(self, assignments: Assignments) -> None:
        raise AssertionError("the manager said nothing")

    async def attached(self) -> Mapping[str, str]:
        return {}

    async def logs(self, request: LogRequest) -> AsyncIterator[LogFrame]:
        yield LogFrame(request.number, end=True)


class DeafSocket:
    """Takes the hello, then neither reads nor speaks."""

    def __init__(self) -> None:
        self.greeted = asyncio.Event()

    async def send_bytes(self, data: bytes) -> None:
        if self.greeted.is_set():
            await asyncio.Event().wait()
        self.greeted.set()

    async def receive(self, timeout: float) -> None:
        await asyncio.Event().wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def test_a_report_that_finds_no_room_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the managers would never hear of it: the next session's hello tells everything anew."""
    monkeypatch.setattr(session_module, "OUTBOX_SIZE", 2)

    async def scenario() -> None:
        sockets = [DeafSocket(), DeafSocket()]
        connections = iter(sockets)

        async def connect(*_: object) -> DeafSocket:
            return next(connections)

        monkeypatch.setattr(Session, "_connect", connect)
        session = Session(Parts(), lambda: ("10.9.0.1:2377",), ssl.create_default_context)
        running = asyncio.create_task(session.run())
        await sockets[0].greeted.wait()
        for _ in range(4):
            session.report("t1", TaskStatus(TaskState.RUNNING))
            await asyncio.sleep(0)
        await sockets[1].greeted.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))


def test_a_manager_that_does_not_answer_is_given_up_once_its_node_is_held_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "CONNECT_DEADLINE_S", 60.0)

    async def scenario() -> None:
        asked: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        silent = await asyncio.start_server(lambda _, writer: asked.put_nowait(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        session = Session(Parts(), lambda: (f"127.0.0.1:{port}",), ssl.create_default_context)
        running = asyncio.create_task(session.run())
        writers = [await asked.get()]
        session.avoid(frozenset({"127.0.0.1"}))
        # It is asked again, since there is no other.
        writers.append(await asked.get())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for writer in writers:
            writer.close()
        silent.close()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))


def test_managers_on_nodes_held_dead_are_asked_only_where_there_is_no_other() -> None:
    managers = ("10.9.0.1:2377", "10.9.0.2:2377")
    session = Session(Parts(), lambda: managers, ssl.create_default_context)
    session.avoid(frozenset({"10.9.0.1"}))
    assert session._candidate({}) == "10.9.0.2:2377"
    assert session._candidate({"10.9.0.2:2377": None}) is None
    session.avoid(frozenset({"10.9.0.1", "10.9.0.2"}))
    assert session._candidate({}) == "10.9.0.1:2377"
