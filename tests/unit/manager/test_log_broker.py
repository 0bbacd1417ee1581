"""Logs are held back at their source, never in the session, and always end."""

import asyncio
from collections.abc import Awaitable, Callable

from orchestrator.manager.log_broker import CREDIT_FRAMES, LogBroker
from orchestrator.model.session import LOG_WINDOW_FRAMES, LogCancel, LogCredit, LogFrame, LogRequest, ManagerMessage


class Nodes:
    """Sessions with nodes "n1" and "n2", as far as the broker sees them."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ManagerMessage]] = []
        self.broker = LogBroker(self.send)

    async def send(self, node_id: str, message: ManagerMessage) -> bool:
        self.sent.append((node_id, message))
        return node_id in ("n1", "n2")

    def numbers(self) -> list[int]:
        return [message.number for _, message in self.sent if isinstance(message, LogRequest)]


def run(scenario: Callable[[Nodes], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await scenario(Nodes())

    asyncio.run(bounded())


async def read_all(nodes: Nodes, *requests: tuple[str, LogRequest]) -> list[LogFrame]:
    return [frame async for frame in nodes.broker.logs(requests)]


def test_frames_come_under_the_reader_s_numbers_until_every_log_has_ended() -> None:
    async def scenario(nodes: Nodes) -> None:
        reading = asyncio.create_task(read_all(nodes, ("n1", LogRequest(7, "a")), ("n2", LogRequest(8, "b"))))
        await asyncio.sleep(0)
        first, second = nodes.numbers()
        nodes.broker.take("n2", LogFrame(second, 1, "two"))
        nodes.broker.take("n1", LogFrame(second, 1, "forged"))
        nodes.broker.take("n1", LogFrame(first, end=True))
        nodes.broker.take("n2", LogFrame(second, end=True))
        assert await reading == [LogFrame(8, 1, "two"), LogFrame(7, end=True), LogFrame(8, end=True)]
        assert [message for _, message in nodes.sent if isinstance(message, LogCancel)]
        nodes.broker.take("n2", LogFrame(second, 1, "late"))

    run(scenario)


def test_a_node_without_a_session_or_that_loses_it_ends_its_logs() -> None:
    async def scenario(nodes: Nodes) -> None:
        assert await read_all(nodes, ("gone", LogRequest(1, "a", follow=True))) == [LogFrame(1, end=True)]
        reading = asyncio.create_task(read_all(nodes, ("n1", LogRequest(2, "a", follow=True))))
        await asyncio.sleep(0)
        nodes.broker.lose_node("n2")
        nodes.broker.lose_node("n1")
        assert await reading == [LogFrame(2, end=True)]

    run(scenario)


def test_what_was_read_is_granted_again_and_no_more_than_the_window_waits_here() -> None:
    async def scenario(nodes: Nodes) -> None:
        logs = nodes.broker.logs([("n1", LogRequest(1, "a", follow=True))])
        first = asyncio.ensure_future(anext(logs))
        await asyncio.sleep(0)
        (number,) = nodes.numbers()
        for _ in range(LOG_WINDOW_FRAMES):
            nodes.broker.take("n1", LogFrame(number, 1, "x"))
        await first
        for _ in range(CREDIT_FRAMES - 1):
            await anext(logs)
        assert [m for _, m in nodes.sent if isinstance(m, LogCredit)] == [LogCredit(number, CREDIT_FRAMES)]

    run(scenario)
