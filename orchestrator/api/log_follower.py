"""The logs of a service's tasks as they are written, those of tasks made after it began included."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from orchestrator.api.backend import ClusterBackend
from orchestrator.model.session import LogFrame, LogRequest
from orchestrator.model.task import Task, TaskState

QUEUE_FRAMES = 64
"""A slow client holds back what reads the logs, which holds back the nodes; nothing piles up here."""


class LogFollower:
    """Follows one service until it is removed and its last task has ended, or this manager leads no more.

    `opened` is told the number and task of each log before its first frame.
    """

    def __init__(
        self, cluster: ClusterBackend, service_id: str, options: LogRequest, opened: Callable[[int, Task], LogRequest]
    ) -> None:
        self._cluster = cluster
        self._service_id = service_id
        self._options = options
        self._opened = opened
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._frames: asyncio.Queue[LogFrame | None] = asyncio.Queue(QUEUE_FRAMES)
        """None = look at the state again."""

    async def frames(self) -> AsyncIterator[LogFrame]:
        """Every log's frames as they come; a log that fails ends them with its error."""
        unsubscribe = self._cluster.subscribe(self._look_again)
        try:
            self._open_logs(self._options)
            while not self._is_over():
                frame = await self._frames.get()
                if frame is not None:
                    yield frame
                self._raise_if_a_log_failed()
                # What a later task writes is all new: `--tail` speaks of what was there before.
                self._open_logs(replace(self._options, tail="all"))
        finally:
            unsubscribe()
            for pump in self._pumps.values():
                pump.cancel()
            await asyncio.gather(*self._pumps.values(), return_exceptions=True)

    def _raise_if_a_log_failed(self) -> None:
        for pump in self._pumps.values():
            if pump.done():
                pump.result()

    def _look_again(self) -> None:
        # When it is full the reader looks at the state anyway, after the next frame.
        with contextlib.suppress(asyncio.QueueFull):
            self._frames.put_nowait(None)

    def _is_over(self) -> bool:
        if not self._cluster.is_leader:
            return True
        is_quiet = self._frames.empty() and all(pump.done() for pump in self._pumps.values())
        return is_quiet and self._service_id not in self._cluster.state.services

    def _open_logs(self, options: LogRequest) -> None:
        for task in self._cluster.state.tasks_of_service(self._service_id):
            if task.id not in self._pumps and task.status.state >= TaskState.STARTING and task.node_id:
                number = len(self._pumps)
                request = self._opened(number, task)
                wanted = replace(request, tail=options.tail)
                self._pumps[task.id] = asyncio.create_task(self._pump(wanted), name=f"log of {task.id}")

    async def _pump(self, request: LogRequest) -> None:
        try:
            async for frame in self._cluster.logs([request]):
                await self._frames.put(frame)
        finally:
            self._look_again()
