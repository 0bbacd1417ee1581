"""Events: the engine's own as they come, and among them, on managers, the cluster's."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import msgspec
from aiohttp import web

from orchestrator.api.backend import ClusterBackend
from orchestrator.api.context import CONTEXT, Context
from orchestrator.api.convert.event import event_to_wire, matches, moment
from orchestrator.api.list_filters import Filters, parse_filters
from orchestrator.control.cluster_events import event_of
from orchestrator.duties import first_ended
from orchestrator.state.cluster_state import ClusterState

DISCONNECT_CHECK_S = 5.0
"""How often a silent stream looks whether its client is still there."""


async def events(request: web.Request) -> web.StreamResponse:
    """`GET /events`: ends when the engine's stream does, which knows when `until` has come."""
    context = request.app[CONTEXT]
    follower = _Follower(
        filters=parse_filters(request.query.get("filters", "")),
        since=moment(request.query.get("since", ""), "since"),
        until=moment(request.query.get("until", ""), "until"),
    )
    with context.following.one_more():
        return await _merged(request, context, follower)


async def _merged(request: web.Request, context: Context, follower: "_Follower") -> web.StreamResponse:
    async with context.engine.stream("/events", request.query) as lines:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await _Merged(request, response, follower, context.cluster()).run(lines)
        await response.write_eof()
    return response


@dataclass(slots=True)
class _Follower:
    """One client's place in the history of one manager's replica."""

    filters: Filters
    since: float | None
    until: float | None
    told: int | None = None
    """Number of the last change looked at; None before the first look."""
    state: ClusterState | None = None

    def news(self, state: ClusterState) -> Iterator[bytes]:
        """Lines for what has happened since the last look; at the first, what the client asked for of the past."""
        if self.state is not None and self.state is not state:
            # A snapshot has replaced the replica, and with it its history: it is followed from its beginning.
            self.told = 0
        self.state = state
        last = state.history[-1].number if state.history else 0
        if self.told is None:
            self.told = last if self.since is None and self.until is None else 0
        for changed in list(state.history):
            if changed.number <= self.told or not self._is_in_time(changed.at):
                continue
            event = event_of(changed)
            if event is not None and matches(event, self.filters):
                yield msgspec.json.encode(event_to_wire(event)) + b"\n"
        self.told = last

    def _is_in_time(self, at: float) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at <= self.until)


class _Merged:
    """Writes both streams to one client, line by line."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        follower: _Follower,
        cluster: ClusterBackend | None,
    ) -> None:
        self._request = request
        self._response = response
        self._follower = follower
        self._cluster = cluster
        self._changed = asyncio.Event()

    async def run(self, engine: AsyncIterator[bytes]) -> None:
        """Until the engine's stream ends or the client has gone."""
        unsubscribe = self._cluster.subscribe(self._changed.set) if self._cluster else None
        # The past is told before anything that comes.
        await self._tell()
        try:
            for duty in await first_ended(self._copy(engine), self._follow()):
                if duty:
                    duty.result()
            await self._tell()
        except ConnectionError:
            # The client has gone: nobody waits for the rest.
            return
        finally:
            if unsubscribe is not None:
                unsubscribe()

    async def _copy(self, engine: AsyncIterator[bytes]) -> None:
        async for line in engine:
            await self._response.write(line)

    async def _follow(self) -> None:
        while self._request.transport is not None and not self._request.transport.is_closing():
            try:
                async with asyncio.timeout(DISCONNECT_CHECK_S):
                    await self._changed.wait()
            except TimeoutError:
                continue
            self._changed.clear()
            await self._tell()

    async def _tell(self) -> None:
        if self._cluster is not None:
            for line in list(self._follower.news(self._cluster.state)):
                await self._response.write(line)
