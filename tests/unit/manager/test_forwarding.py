"""Requests put to a leader that answers, dies, stands still or is deposed; real TLS on 127.0.0.x."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from orchestrator import clock
from orchestrator.manager import authority
from orchestrator.manager.forwarding import Forwarder, LeaderWatch
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import ClusterError, LostLeadership, NoLeader
from orchestrator.model.node import NodeRole
from orchestrator.state import cluster_state
from orchestrator.testing.memory_store import MemoryStore

CLUSTER = authority.found("c1", ClusterSpec(), clock.now())
OWN = authority.issue(CLUSTER, "m1", NodeRole.MANAGER, clock.now())
ANSWER_SECONDS_MAX = 5.0


class FollowerStore(MemoryStore):
    """A follower's store: the test says who leads."""

    leader: str | None = None

    @property
    def leader_address(self) -> str | None:
        return self.leader

    def follow(self, leader: str | None) -> None:
        self.leader = leader
        self._notify()


class Rig:
    """A follower that forwards, and leaders at addresses of their own."""

    def __init__(self, http: TestClient[web.Request, web.Application], store: FollowerStore, port: int) -> None:
        self.http = http
        self.store = store
        self._port = port
        self.asked: list[str] = []
        self.silent: set[str] = set()
        self.fatal: set[str] = set()
        self._runners: list[web.AppRunner] = []

    async def lead(self, address: str) -> None:
        """Let a manager listen at this address that says which it is.

        While it is in `silent` it says nothing, and it breaks the connection over the methods in `fatal`.
        """

        async def answer(request: web.Request) -> web.StreamResponse:
            self.asked.append(address)
            if request.method in self.fatal and request.transport is not None:
                request.transport.abort()
            while address in self.silent:
                await asyncio.sleep(0.01)
            return web.Response(text=address)

        application = web.Application()
        application.router.add_route("*", "/api/{path:.*}", answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, address, self._port, ssl_context=authority.server_context(OWN)).start()
        self._runners.append(runner)

    async def call(self, method: str = "GET") -> tuple[int, str]:
        """Status and text, within the time a client is promised."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            answer = await self.http.request(method, "/services")
            return answer.status, await answer.text()

    async def close(self) -> None:
        self.silent.clear()
        for runner in self._runners:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    monkeypatch.setattr(cluster_state, "MANAGEMENT_PORT", port)
    store = FollowerStore()
    leaders = LeaderWatch(store)
    tls = authority.client_context(OWN)
    forwarder = Forwarder(leaders, lambda: tls)

    async def forward(request: web.Request) -> web.StreamResponse:
        try:
            return await forwarder.forward(request)
        except ClusterError as error:
            return web.Response(status=500, text=type(error).__name__)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", forward)
    async with TestClient(TestServer(application)) as http:
        made = Rig(http, store, port)
        try:
            yield made
        finally:
            await made.close()
            await forwarder.close()
            leaders.close()


def run(monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def run_it() -> None:
        async with rig(monkeypatch) as made:
            await scenario(made)

    asyncio.run(asyncio.wait_for(run_it(), 20.0))


def test_the_leader_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.lead("127.0.0.2")
        rig.store.follow("127.0.0.2")
        assert await rig.call("POST") == (200, "127.0.0.2")

    run(monkeypatch, scenario)


def test_a_request_waits_for_an_election_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.lead("127.0.0.2")
        waiting = asyncio.create_task(rig.call("POST"))
        await asyncio.sleep(0.2)
        rig.store.follow("127.0.0.2")
        assert await waiting == (200, "127.0.0.2")
        rig.store.follow(None)
        assert await rig.call() == (500, NoLeader.__name__)
        began = clock.monotonic()
        assert await rig.call("POST") == (500, NoLeader.__name__)
        assert clock.monotonic() - began < 0.5

    run(monkeypatch, scenario)


def test_a_read_is_put_to_the_successor_of_a_silent_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.lead("127.0.0.2")
        await rig.lead("127.0.0.3")
        rig.silent.add("127.0.0.2")
        rig.store.follow("127.0.0.2")
        waiting = asyncio.create_task(rig.call())
        while not rig.asked:
            await asyncio.sleep(0.01)
        rig.store.follow("127.0.0.3")
        assert await waiting == (200, "127.0.0.3")

    run(monkeypatch, scenario)


def test_a_write_a_silent_leader_may_have_begun_is_not_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.lead("127.0.0.2")
        await rig.lead("127.0.0.3")
        rig.silent.add("127.0.0.2")
        rig.store.follow("127.0.0.2")
        waiting = asyncio.create_task(rig.call("POST"))
        while not rig.asked:
            await asyncio.sleep(0.01)
        rig.store.follow("127.0.0.3")
        assert await waiting == (500, LostLeadership.__name__)
        assert rig.asked == ["127.0.0.2"]

    run(monkeypatch, scenario)


def test_a_write_that_never_left_is_put_to_the_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.lead("127.0.0.3")
        rig.store.follow("127.0.0.2")
        waiting = asyncio.create_task(rig.call("POST"))
        await asyncio.sleep(0.2)
        rig.store.follow("127.0.0.3")
        assert await waiting == (200, "127.0.0.3")

    run(monkeypatch, scenario)


def test_a_leader_that_is_gone_and_has_no_successor_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(rig: Rig) -> None:
        rig.store.follow("127.0.0.2")
        assert await rig.call("POST") == (500, NoLeader.__name__)

    run(monkeypatch, scenario)


def test_half_an_answer_is_not_taken_for_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:

    async def scenario(rig: Rig) -> None:
        async def half(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"[half")
            await asyncio.sleep(10)
            return response

        application = web.Application()
        application.router.add_route("*", "/api/{path:.*}", half)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        tls = authority.server_context(OWN)
        await web.TCPSite(runner, "127.0.0.4", rig._port, ssl_context=tls).start()
        rig._runners.append(runner)
        rig.store.follow("127.0.0.4")
        answer = await rig.http.get("/services")
        assert await answer.content.readany() == b"[half"
        rig.store.follow(None)
        with pytest.raises(aiohttp.ClientError):
            await answer.read()

    run(monkeypatch, scenario)


@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_a_change_is_asked_for_once_though_the_connection_breaks(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second time, a removal that was done would be answered with "not found"."""

    async def scenario(made: Rig) -> None:
        await made.lead("127.0.0.1")
        made.store.follow("127.0.0.1")
        # From now on there is a connection to the leader that is used again.
        assert await made.call() == (200, "127.0.0.1")
        made.fatal.add(method)
        assert await made.call(method) == (500, "LostLeadership")
        assert len(made.asked) == 2

    run(monkeypatch, scenario)
