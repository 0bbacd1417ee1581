"""The front of a node's API under bytes of every kind: it answers or hangs up, and keeps nothing."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.engine_proxy import EngineProxy
from orchestrator.api.http_head_rules import (
    END_OF_HEAD,
    MalformedHead,
    parse_request_head,
    response_status,
    with_connection_close,
)
from tests.unit.api.fuzz.bounds import bounded

DEADLINE_S = 5.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
VALID = (
    b"GET /v1.45/info HTTP/1.1\r\nHost: docker\r\n\r\n",
    b"POST /services/create HTTP/1.1\r\nHost: docker\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /exec/1/start HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nxyz",
    b"GET /info HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
)
PIECES = (b"\r\n", b"\r", b"\n", b" ", b":", b"\x00", b"\xff", b"HTTP/1.1", b"GET", b"/", b"http://[", b"#", b"?", b"%")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A request with pieces cut out of it and others put in."""
    raw = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 4)))
        raw[start:end] = draw(st.sampled_from(PIECES) | st.binary(max_size=3))
    return bytes(raw)


REQUESTS = st.binary(max_size=200) | mutated()


@bounded(150)
@given(REQUESTS)
def test_a_head_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(MalformedHead):
        response_status(raw)
    try:
        head = parse_request_head(raw)
        closing = with_connection_close(raw)
    except MalformedHead:
        return
    assert head.path.startswith(("/", "*"))
    assert closing.endswith(b"Connection: close" + END_OF_HEAD)
    assert closing.lower().count(b"\r\nconnection:") == 1
    # What was changed is still a head, and of the same request.
    assert parse_request_head(closing).path == head.path


@contextlib.asynccontextmanager
async def front() -> AsyncIterator[tuple[EngineProxy, str]]:
    """The proxy with one backend for everything, and the path clients connect to."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(END_OF_HEAD)
            writer.write(OK)
        writer.close()

    with tempfile.TemporaryDirectory() as name:
        backend, path = str(Path(name) / "backend"), str(Path(name) / "api")
        proxy = EngineProxy(lambda method, path: True, backend, backend, head_deadline_s=0.2, linger_s=0.2)
        async with await asyncio.start_unix_server(answer, backend):
            await proxy.listen_unix(path)
            try:
                yield proxy, path
            finally:
                await proxy.close()


async def send(path: str, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    with contextlib.suppress(ConnectionError):
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        return answer
    return b""


def test_garbage_is_answered_or_hung_up_on_and_the_next_client_is_served() -> None:
    async def scenario(raw: bytes) -> None:
        async with asyncio.timeout(DEADLINE_S), front() as (proxy, path):
            assert (await send(path, raw))[:9] in (b"", b"HTTP/1.1 ")
            assert await send(path, VALID[0]) == OK
            assert not proxy.is_full

    @bounded(60)
    @given(REQUESTS)
    def property_of(raw: bytes) -> None:
        asyncio.run(scenario(raw))

    property_of()
