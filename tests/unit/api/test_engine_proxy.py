"""The front of the node's API, between scripted backends: who gets a connection, and that bytes pass untouched."""

import asyncio
import contextlib
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from orchestrator.api.engine_proxy import EngineProxy
from orchestrator.api.http_head_rules import MAX_HEAD_BYTES

DEADLINE_S = 10.0
GET_INFO = b"GET /v1.45/info HTTP/1.1\r\nHost: docker\r\n\r\n"
UPGRADE = b"POST /exec/1/start HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass
class Front:
    """A proxy between two backends that do as told."""

    directory: Path
    proxy: EngineProxy
    heads: list[tuple[str, bytes]] = field(default_factory=list)
    """(backend, head) of each request that arrived."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """A backend saw its connection come to an end."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client's connection."""
        return await asyncio.open_unix_connection(str(self.directory / "api"), limit=1 << 22)

    async def ask(self, request: bytes) -> bytes:
        """The whole answer to one request."""
        reader, writer = await self.connect()
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


@contextlib.asynccontextmanager
async def front(engine: Talk | None, own: Talk | None = None, **settings: Any) -> AsyncIterator[Front]:
    """A running front; a backend that is None is not there."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        proxy = EngineProxy(
            lambda method, path: path.endswith("/swarm") and method == "GET",
            str(directory / "own"),
            str(directory / "engine"),
            **settings,
        )
        made = Front(directory, proxy)
        async with contextlib.AsyncExitStack() as stack:
            for backend, talk in (("own", own), ("engine", engine)):
                if talk is not None:
                    await stack.enter_async_context(_backend(made, backend, talk))
            await proxy.listen_unix(str(directory / "api"))
            stack.push_async_callback(proxy.close)
            yield made


@contextlib.asynccontextmanager
async def _backend(made: Front, name: str, talk: Talk) -> AsyncIterator[None]:
    serving: dict[asyncio.Task[None], None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving[task] = None
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            made.heads.append((name, await reader.readuntil(b"\r\n\r\n")))
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        made.ended.set()

    server = await asyncio.start_unix_server(serve, str(made.directory / name), limit=1 << 20)
    try:
        yield
    finally:
        server.close()
        await asyncio.gather(*serving)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    """Runs a scenario on each event loop, within the deadline."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run_scenario(scenario: Awaitable[None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(DEADLINE_S):
                await scenario

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded())

    return run_scenario


Run = Callable[[Awaitable[None]], None]


async def answer_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One answer, then the end, as to a request with `Connection: close`."""
    writer.write(OK)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upgraded connection that gives back what it gets, and after its end says goodbye."""
    writer.write(UPGRADED)
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write(b"goodbye")


async def _write_on(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.001)


def error_of(answer: bytes) -> tuple[int, str]:
    """Status and message of an error in Docker's form."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["message"]


def test_each_request_goes_where_it_belongs(run: Run) -> None:
    async def scenario() -> None:
        async with front(answer_ok, answer_ok) as it:
            for request in (GET_INFO, b"GET /swarm HTTP/1.1\r\nHost: docker\r\nConnection: keep-alive\r\n\r\n"):
                assert await it.ask(request) == OK
            assert it.heads == [
                ("engine", b"GET /v1.45/info HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"),
                ("own", b"GET /swarm HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"),
            ]

    run(scenario())


def test_a_head_may_come_byte_by_byte(run: Run) -> None:
    async def scenario() -> None:
        async with front(answer_ok) as it:
            reader, writer = await it.connect()
            for byte in GET_INFO:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert await reader.read() == OK
            writer.close()

    run(scenario())


def test_an_upgrade_keeps_its_head_and_its_half_close(run: Run) -> None:
    async def scenario() -> None:
        async with front(echo) as it:
            reader, writer = await it.connect()
            writer.write(UPGRADE + b"early ")
            assert await reader.readexactly(len(UPGRADED) + 6) == UPGRADED + b"early "
            writer.write(b"late ")
            writer.write_eof()
            assert await reader.read() == b"late goodbye"
            writer.close()
            assert it.heads == [("engine", UPGRADE)]

    run(scenario())


def test_the_server_may_end_first_and_still_listen(run: Run) -> None:
    heard = bytearray()

    async def half_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(UPGRADED)
        writer.write_eof()
        heard.extend(await reader.read())

    async def scenario() -> None:
        async with front(half_closed, linger_s=0.0) as it:
            reader, writer = await it.connect()
            writer.write(UPGRADE)
            assert await reader.read() == UPGRADED
            writer.write(b"still talking")
            await writer.drain()
            writer.write_eof()
            await it.ended.wait()
            writer.close()
            assert heard == b"still talking"

    run(scenario())


def test_a_refused_upgrade_ends_the_connection(run: Run) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 409 Con")
        await writer.drain()
        writer.write(b"flict\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()

    async def scenario() -> None:
        async with front(refuse) as it:
            reader, writer = await it.connect()
            writer.write(UPGRADE)
            expected = b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
            assert await reader.readexactly(len(expected)) == expected
            writer.close()

    run(scenario())


@pytest.mark.parametrize("size", [0, 100, 5_000_000])
def test_bodies_pass_untouched_both_ways(run: Run, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"\r\n\r\nHTTP/1.1"

    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + await reader.readexactly(len(body)))
        await writer.drain()

    async def scenario() -> None:
        async with front(mirror) as it:
            assert await it.ask(GET_INFO + body) == b"HTTP/1.1 200 OK\r\n\r\n" + body

    run(scenario())


def test_a_slow_receiver_slows_the_sender(run: Run) -> None:
    gate = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        while await reader.read(1 << 20):
            pass

    async def scenario() -> None:
        async with front(slow) as it:
            _, writer = await it.connect()
            writer.transport.set_write_buffer_limits(high=0)
            writer.write(GET_INFO)
            sent = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    while sent < 64 << 20:
                        writer.write(bytes(1 << 18))
                        sent += 1 << 18
                        await writer.drain()
            assert sent < 8 << 20
            gate.set()
            await writer.drain()
            writer.close()
            await it.ended.wait()

    run(scenario())


def test_a_client_that_goes_away_ends_the_stream(run: Run) -> None:
    async def follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nline\n")
        assert await reader.read() == b""

    async def scenario() -> None:
        async with front(follow) as it:
            reader, writer = await it.connect()
            writer.write(GET_INFO)
            await reader.readuntil(b"line\n")
            writer.transport.abort()
            await it.ended.wait()

    run(scenario())


def test_a_backend_that_dies_ends_the_client(run: Run) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\npart")
        await writer.drain()
        writer.transport.abort()

    async def scenario() -> None:
        async with front(die) as it:
            assert await it.ask(GET_INFO) == b"HTTP/1.1 200 OK\r\n\r\npart"

    run(scenario())


def test_an_answer_before_the_upload_is_done_still_arrives(run: Run) -> None:
    async def scenario() -> None:
        async with front(answer_ok) as it:
            reader, writer = await it.connect()
            writer.write(GET_INFO)
            assert await reader.readexactly(len(OK)) == OK
            writer.write(b"more of the upload")
            await writer.drain()
            assert await reader.read() == b""
            writer.close()

    run(scenario())


def test_a_client_that_lingers_is_closed(run: Run) -> None:
    async def scenario() -> None:
        async with front(answer_ok, linger_s=0.01) as it:
            reader, writer = await it.connect()
            writer.write(GET_INFO)
            assert await reader.read() == OK
            with pytest.raises(ConnectionError):
                await _write_on(writer)
            writer.close()

    run(scenario())


@pytest.mark.parametrize("request_", [b"\x16\x03\x01\x02", b"garbage\r\n\r\n", b"GET / HTTP/3\r\n\r\n"])
def test_garbage_is_answered_400(run: Run, request_: bytes) -> None:
    async def scenario() -> None:
        async with front(answer_ok) as it:
            assert error_of(await it.ask(request_)) == (400, "malformed HTTP request")
            assert it.heads == []

    run(scenario())


def test_an_endless_head_is_refused(run: Run) -> None:
    async def scenario() -> None:
        async with front(answer_ok) as it:
            answer = await it.ask(b"GET /" + b"a" * (MAX_HEAD_BYTES + 1))
            assert error_of(answer) == (431, "request head too large")

    run(scenario())


def test_a_late_head_is_refused(run: Run) -> None:
    async def scenario() -> None:
        async with front(answer_ok, head_deadline_s=0.02) as it:
            assert error_of(await it.ask(b"GET / HT")) == (408, "request head did not arrive in time")
            assert await it.ask(b"") == b""

    run(scenario())


def test_an_absent_engine_is_a_clean_503(run: Run) -> None:
    async def scenario() -> None:
        async with front(None) as it:
            status, message = error_of(await it.ask(GET_INFO + b"body"))
            assert status == 503
            assert message.startswith("Cannot connect to the Docker daemon at unix://")

    run(scenario())


def test_too_many_connections_are_refused(run: Run) -> None:
    async def scenario() -> None:
        async with front(answer_ok, max_connections=1) as it:
            _, first = await it.connect()
            assert error_of(await it.ask(b"")) == (503, "too many connections")
            first.close()

    run(scenario())


def test_a_stale_socket_is_replaced_and_a_file_is_not(run: Run) -> None:
    async def scenario() -> None:
        async with front(answer_ok) as it:
            stale = it.directory / "stale"
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(stale))
            await it.proxy.listen_unix(str(stale))
            assert stale.stat().st_mode & 0o777 == 0o660
            (it.directory / "file").touch()
            with pytest.raises(OSError, match="in use"):
                await it.proxy.listen_unix(str(it.directory / "file"))

    run(scenario())
