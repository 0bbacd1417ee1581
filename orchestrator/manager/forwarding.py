"""Hands an API request on to the leader and its answer back, streamed, so that any manager serves the API.

A leader that dies, stands still or is cut off answers nothing, so nobody waits for one that the managers no longer
follow. What it cannot have begun is then asked of its successor; the rest is refused, for it may have taken effect.
"""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from orchestrator import clock
from orchestrator.duties import first_ended
from orchestrator.interfaces import Store
from orchestrator.model.errors import LostLeadership, NoLeader, Unavailable

FORWARD_PREFIX = "/api"
CONNECT_DEADLINE_S = 2.0
ELECTION_PATIENCE_S = 2.0
"""So long after the leader was lost a request waits for the next one; later it is told at once that there is none."""
PATIENCE_S = 4.0
"""How long in all a request looks for a leader: one that finds none is refused within 5 s."""
ASK_DEADLINE_S = 20.0
_ASKED = aiohttp.ClientTimeout(total=ASK_DEADLINE_S, sock_connect=CONNECT_DEADLINE_S)
_SAFE_METHODS = ("GET", "HEAD")
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length")
)


class LeaderWatch:
    """Which manager leads, for those who wait for one. `close` it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lost_at = clock.monotonic()
        self._changed = asyncio.Event()
        self._unsubscribe = store.subscribe(self._look)

    def close(self) -> None:
        """Watch no longer."""
        self._unsubscribe()

    async def wait(self) -> str:
        """Address of the leader, awaited while an election is likely. Raises `NoLeader`."""
        while (leader := self.leader) is None:
            patience = self._lost_at + ELECTION_PATIENCE_S - clock.monotonic()
            changed = self._changed
            try:
                async with asyncio.timeout(max(patience, 0.0)):
                    await changed.wait()
            except TimeoutError:
                raise NoLeader from None
        return leader

    async def wait_other(self, than: str) -> None:
        """Return when another manager leads than this one, or none."""
        while self.leader == than:
            await self._changed.wait()

    @property
    def leader(self) -> str | None:
        """Address of the manager that leads and can serve. This one does not before it has caught up."""
        return self._store.leader_address

    def url(self, leader: str, path: str) -> str:
        """Where the leader answers requests that other managers hand on."""
        return f"https://{self._store.state.management_address_at(leader)}{FORWARD_PREFIX}{path}"

    def _look(self) -> None:
        if self.leader is not None:
            self._lost_at = clock.monotonic()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Forwarder:
    """One manager's way to the leader's API. `close` it."""

    def __init__(self, leaders: LeaderWatch, tls: Callable[[], ssl.SSLContext]) -> None:
        self._leaders = leaders
        self._tls = tls
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE_S),
            auto_decompress=False,
        )
        # aiohttp would ask for a removal again on its own when the connection breaks, and there is no option against
        # it: one that was done the first time would be answered with "not found".
        self._http._retry_connection = False

    async def close(self) -> None:
        """End all connections."""
        await self._http.close()

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """The leader's answer to the request.

        Raises `NoLeader` when there is none to ask, `LostLeadership` when it was lost on the way.
        """
        # A request that was forwarded already found its leader deposed: it may not wander on.
        if request.path.startswith(FORWARD_PREFIX):
            raise NoLeader
        body = await request.read()
        deadline = clock.monotonic() + PATIENCE_S
        while True:
            leader = await self._leaders.wait()
            exchange = _Exchange(request, body)
            url = self._leaders.url(leader, str(request.rel_url))
            try:
                return await self._while_it_leads(leader, exchange.with_leader(self._http, url, self._tls()))
            except (aiohttp.ClientConnectionError, TimeoutError, _Deposed) as error:
                if exchange.is_answering:
                    # Half an answer is told from a whole one by the connection that breaks.
                    exchange.break_off()
                    raise
                is_untouched = isinstance(error, aiohttp.ClientConnectorError) or request.method in _SAFE_METHODS
                if not is_untouched:
                    raise LostLeadership from error
                if clock.monotonic() >= deadline:
                    raise NoLeader from error
            await self._settle(leader, deadline)

    async def ask(self, method: str, path: str, params: Mapping[str, str]) -> Any:
        """The JSON that the leader answers to a request of our own.

        Raises `NoLeader` when there is none to ask, `Unavailable` when it refuses.
        """
        leader = await self._leaders.wait()
        try:
            async with self._http.request(
                method, self._leaders.url(leader, path), params=params, timeout=_ASKED, ssl=self._tls()
            ) as answer:
                if not answer.ok:
                    raise Unavailable(f"the leader answered {answer.status} to {method} {path}")
                return await answer.json()
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise NoLeader from error

    async def _while_it_leads(
        self, leader: str, exchange: Coroutine[Any, Any, web.StreamResponse]
    ) -> web.StreamResponse:
        asking, _ = await first_ended(exchange, self._leaders.wait_other(leader))
        if not asking:
            raise _Deposed
        response: web.StreamResponse = asking.result()
        return response

    async def _settle(self, leader: str, deadline: float) -> None:
        """Give the managers time to notice what the request has: that this leader does not answer."""
        try:
            async with asyncio.timeout(max(deadline - clock.monotonic(), 0.0)):
                await self._leaders.wait_other(leader)
        except TimeoutError:
            raise NoLeader from None


class _Deposed(Exception):
    """The manager that was asked leads no longer."""


class _Exchange:
    """One request put to one leader, and its answer as far as it has come."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self._request = request
        self._body = body
        self.is_answering = False

    async def with_leader(self, http: aiohttp.ClientSession, url: str, tls: ssl.SSLContext) -> web.StreamResponse:
        """The answer, handed on as it comes."""
        request = self._request
        headers = _end_to_end(request.headers)
        async with http.request(request.method, url, headers=headers, data=self._body, ssl=tls) as answer:
            response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
            self.is_answering = True
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    def break_off(self) -> None:
        """Close the client's connection in the middle of the answer."""
        if self._request.transport is not None:
            self._request.transport.abort()


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
