"""A server that costs a client as little as can be, and notes when each request arrived."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Version: 7\r\n\r\nok"
LAST_ANSWER = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
_START_SECONDS = 10.0


class FastServer:
    """One thread, one event loop. `arrivals` are seconds of the clock that never jumps."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.port = 0
        self._open: set[asyncio.BaseTransport] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._listens = threading.Event()

    @property
    def rate(self) -> float:
        """Requests a second, from the first to the last."""
        return (len(self.arrivals) - 1) / (self.arrivals[-1] - self.arrivals[0])

    def run(self) -> None:
        uvloop.run(self._serve())

    def wait_until_listening(self) -> None:
        assert self._listens.wait(_START_SECONDS), "the server does not listen"

    def close(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await self._loop.create_server(
            lambda: _Answers(self.arrivals, self._open), "127.0.0.1", 0, backlog=4096
        )
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._stop.wait()
        server.close()
        for transport in self._open:
            transport.close()
        await server.wait_closed()


class _Answers(asyncio.Protocol):
    """One connection. Requests have no body, and the next one comes after the answer."""

    def __init__(self, arrivals: list[float], open_transports: set[asyncio.BaseTransport]) -> None:
        self._arrivals = arrivals
        self._open = open_transports
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none, but does the same
        self._open.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        self._arrivals.append(time.monotonic())
        is_last = b"Connection: close" in self._received
        self._received = b""
        self._transport.write(LAST_ANSWER if is_last else ANSWER)
        if is_last:
            self._transport.close()


@contextlib.contextmanager
def fast_server() -> Iterator[FastServer]:
    server = FastServer()
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        server.wait_until_listening()
        yield server
    finally:
        server.close()
        thread.join(timeout=_START_SECONDS)
