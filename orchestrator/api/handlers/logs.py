"""Logs of a service's tasks, or of one task, as one stream."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from aiohttp import web

from orchestrator.api import requests
from orchestrator.api.backend import ClusterBackend
from orchestrator.api.context import CONTEXT, api_version
from orchestrator.api.errors import BadRequest
from orchestrator.api.log_follower import LogFollower
from orchestrator.api.log_stream import LogFormat, LogStream, context_details, has_own_details
from orchestrator.api.lookup import find_service, find_task
from orchestrator.model.session import LogFrame, LogRequest
from orchestrator.model.task import Task

MULTIPLEXED_SINCE = (1, 42)
DISCONNECT_CHECK_S = 5.0
"""How often a silent stream looks whether its client is still there."""

_logger = logging.getLogger(__name__)


async def service_logs(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /services/{id}/logs`: of all tasks that have a node."""
    service = find_service(cluster.state, request.match_info["id"])
    log = _Log(request, tty=service.spec.task.container.tty)
    if log.options.follow:
        return await log.send(LogFollower(cluster, service.id, log.options, log.open).frames())
    tasks = [task for task in cluster.state.tasks_of_service(service.id) if task.node_id]
    return await log.send(cluster.logs([log.open(number, task) for number, task in enumerate(tasks)]))


async def task_logs(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /tasks/{id}/logs`."""
    task = find_task(cluster.state, request.match_info["id"])
    log = _Log(request, tty=task.spec.container.tty)
    return await log.send(cluster.logs([log.open(0, task)] if task.node_id else []))


class _Log:
    """One answer: logs of tasks in the form its request asks for. Raises `BadRequest` for one that makes no sense."""

    def __init__(self, request: web.Request, *, tty: bool) -> None:
        self.options = _options(request)
        self._request = request
        self._format = LogFormat(
            multiplexed=not tty, details=requests.flag(request, "details"), timestamps=self.options.timestamps
        )
        self._stream = LogStream(self._format)

    def open(self, number: int, task: Task) -> LogRequest:
        """Expect the task's log under that number; returns what to ask for."""
        annotated = self._format.details and has_own_details(task.spec.log_driver)
        self._stream.open(number, context_details(task.node_id, task.service_id, task.id), annotated=annotated)
        return replace(self.options, number=number, task_id=task.id, details=annotated)

    async def send(self, frames: AsyncIterator[LogFrame]) -> web.StreamResponse:
        """Answer with the frames. Raises `NotAvailable` when too many logs are read at once."""
        with self._request.app[CONTEXT].following.one_more():
            return await self._send(frames)

    async def _send(self, frames: AsyncIterator[LogFrame]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": _content_type(self._request, self._format)})
        await response.prepare(self._request)
        await _copy(frames, self._stream, self._request, response)
        await response.write_eof()
        return response


def _content_type(request: web.Request, log_format: LogFormat) -> str:
    if log_format.multiplexed and api_version(request) >= MULTIPLEXED_SINCE:
        return "application/vnd.docker.multiplexed-stream"
    return "application/vnd.docker.raw-stream"


async def _copy(
    frames: AsyncIterator[LogFrame], stream: LogStream, request: web.Request, response: web.StreamResponse
) -> None:
    """Send frames until they end or the client goes."""
    try:
        async for frame in _while_connected(frames, request):
            if data := stream.feed(frame):
                await response.write(data)
    except ConnectionResetError:
        _logger.debug("the client of a log went away", extra={"path": request.path})


async def _while_connected(frames: AsyncIterator[LogFrame], request: web.Request) -> AsyncIterator[LogFrame]:
    """The frames; a quiet log ends too when its client is gone, and whatever produces them is then closed."""
    following: asyncio.Task[LogFrame | None] | None = None
    try:
        while True:
            following = following or asyncio.create_task(_next(frames))
            done, _ = await asyncio.wait({following}, timeout=DISCONNECT_CHECK_S)
            if not done:
                if request.transport is None or request.transport.is_closing():
                    return
                continue
            frame, following = following.result(), None
            if frame is None:
                return
            yield frame
    finally:
        if following is not None:
            following.cancel()
            await asyncio.wait({following})
        if isinstance(frames, AsyncGenerator):
            await frames.aclose()


async def _next(frames: AsyncIterator[LogFrame]) -> LogFrame | None:
    return await anext(frames, None)


def _options(request: web.Request) -> LogRequest:
    """What the query asks for, as a request that names no task yet. Raises `BadRequest`."""
    stdout, stderr = requests.flag(request, "stdout"), requests.flag(request, "stderr")
    if not stdout and not stderr:
        raise BadRequest("Bad parameters: you must choose at least one stream")
    return LogRequest(
        number=0,
        task_id="",
        follow=requests.flag(request, "follow"),
        stdout=stdout,
        stderr=stderr,
        since=_since(request.query.get("since", "")),
        tail=_tail(request.query.get("tail", "")),
        timestamps=requests.flag(request, "timestamps"),
    )


def _since(text: str) -> float:
    """Seconds since the epoch; the clients send "seconds.nanoseconds"."""
    if not text:
        return 0.0
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        raise BadRequest(f'invalid value for "since": {text}')
    return float(text)


def _tail(text: str) -> str:
    if text in ("", "all"):
        return "all"
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise BadRequest('tail value must be a positive integer or "all"')
    if text.startswith("-"):
        raise BadRequest("negative tail values not supported")
    return text
