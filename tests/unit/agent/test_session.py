"""The agent's end of a session where its manager is a nuisance; the rest is in `unit/manager/test_sessions.py`."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any, cast

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


def test_a_report_that_finds_no_room_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the managers would never hear of it: the next session's hello tells everything anew."""
    monkeypatch.setattr(session_module, "OUTBOX_SIZE", 2)

    async def scenario() -> None:
        session = Session(Parts(), lambda: (), ssl.create_default_context)
        socket = DeafSocket()
        holding = asyncio.create_task(session._hold(cast(Any, socket), "10.9.0.1:2377"))
        await socket.greeted.wait()
        for _ in range(4):
            session.report("t1", TaskStatus(TaskState.RUNNING))
            await asyncio.sleep(0)
        await holding
        assert session.connected_to is None

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
