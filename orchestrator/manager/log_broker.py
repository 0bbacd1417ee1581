"""Readers of tasks' logs on one side, agents' sessions on the other.

A reader that is slower than its log holds back that log at its agent, by credit, and never the session: heartbeats
share it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from orchestrator.model.session import (
    LOG_WINDOW_FRAMES,
    LogCancel,
    LogCredit,
    LogFrame,
    LogRequest,
    ManagerMessage,
)

logger = logging.getLogger(__name__)

LOG_SILENCE_S = 20.0
"""How long a log that is not followed may be silent before it counts as ended: its node may have died."""
CREDIT_FRAMES = LOG_WINDOW_FRAMES // 2
"""Granted at a time, so that a steady reader never lets the window run empty."""


@dataclass(slots=True)
class _OpenLog:
    node_id: str
    number: int
    """The reader's own number of the log."""
    frames: asyncio.Queue[LogFrame]
    read_frames: int = 0
    """Since the last credit."""


class LogBroker:
    """Opens logs on nodes and hands their frames to whoever asked.

    `send` gives a message to a node's session; False = the node has none.
    """

    def __init__(self, send: Callable[[str, ManagerMessage], Awaitable[bool]]) -> None:
        self._send = send
        self._logs: dict[int, _OpenLog] = {}
        self._last_number = 0

    async def logs(self, requests: Sequence[tuple[str, LogRequest]]) -> AsyncIterator[LogFrame]:
        """Frames of several (node id, request), merged as they come.

        The requests' own numbers mark the frames. A log whose node has no session, or loses it, ends.
        """
        # The credit of all logs together, and the end of each.
        frames: asyncio.Queue[LogFrame] = asyncio.Queue((LOG_WINDOW_FRAMES + 2) * max(1, len(requests)))
        opened: set[int] = set()
        try:
            for node_id, request in requests:
                number = self._open(node_id, request, frames)
                opened.add(number)
                if not await self._send(node_id, replace(request, number=number)):
                    self._end(number)
            silence = None if any(request.follow for _, request in requests) else LOG_SILENCE_S
            unended = set(opened)
            while unended:
                try:
                    async with asyncio.timeout(silence):
                        frame = await frames.get()
                except TimeoutError:
                    return
                log = self._logs[frame.number]
                if frame.end:
                    unended.discard(frame.number)
                else:
                    await self._grant(frame.number, log)
                yield replace(frame, number=log.number)
        finally:
            for number in sorted(opened):
                await self._send(self._logs.pop(number).node_id, LogCancel(number))

    def take(self, node_id: str, frame: LogFrame) -> None:
        """A frame from a node; one of a log that is read no more is dropped."""
        log = self._logs.get(frame.number)
        if log is None or log.node_id != node_id:
            return
        try:
            log.frames.put_nowait(frame)
        except asyncio.QueueFull:
            logger.error("a log sends more than it may: a piece is lost node=%s", node_id)

    def lose_node(self, node_id: str) -> None:
        """End every log of a node whose session has ended."""
        for number, log in list(self._logs.items()):
            if log.node_id == node_id:
                self._end(number)

    def _open(self, node_id: str, request: LogRequest, frames: asyncio.Queue[LogFrame]) -> int:
        self._last_number += 1
        self._logs[self._last_number] = _OpenLog(node_id, request.number, frames)
        return self._last_number

    def _end(self, number: int) -> None:
        self.take(self._logs[number].node_id, LogFrame(number, end=True))

    async def _grant(self, number: int, log: _OpenLog) -> None:
        log.read_frames += 1
        if log.read_frames >= CREDIT_FRAMES:
            await self._send(log.node_id, LogCredit(number, log.read_frames))
            log.read_frames = 0
