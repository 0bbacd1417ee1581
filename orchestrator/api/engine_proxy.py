"""The front of a node's Docker API: one request head is read, and its connection goes to us or to the inner engine.

From there bytes flow both ways untouched, so whatever the engine's API can do (hijacked exec and attach, uploads,
followed logs, events, file copies) it can do through here. It must never look into bodies, nor hold more of a stream
than one buffer per direction.

One connection carries one request: a second one might belong to the other side. So requests are sent on with
`Connection: close`. A request that asks for an upgrade cannot be; there the refusal, should the backend refuse, is
sent back with `Connection: close`.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import cast

from orchestrator.api.http_head_rules import (
    END_OF_HEAD,
    MAX_HEAD_BYTES,
    MalformedHead,
    RequestHead,
    parse_request_head,
    response_status,
    with_connection_close,
)

IsOurs = Callable[[str, str], bool]
"""(method, path without query) -> whether our own API answers it."""

HEAD_DEADLINE_S = 30.0
CONNECT_DEADLINE_S = 5.0
LINGER_S = 5.0
"""How long a client may go on sending after the answer has ended (RFC 9112, section 9.6: lingering close)."""
MAX_CONNECTIONS = 1024
_BUFFER_BYTES = 1024 * 1024
"""Written but not yet taken by the receiver; beyond it the sender is not read."""
_SOCKET_MODE = 0o660

logger = logging.getLogger(__name__)


class EngineProxy:
    """Listens on the node's API sockets. Both backends are unix sockets; deadlines are in seconds."""

    def __init__(
        self,
        is_ours: IsOurs,
        own_socket: str,
        engine_socket: str,
        *,
        head_deadline_s: float = HEAD_DEADLINE_S,
        linger_s: float = LINGER_S,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.head_deadline_s = head_deadline_s
        self.linger_s = linger_s
        self._max_connections = max_connections
        self._is_ours = is_ours
        self._own_socket = own_socket
        self._engine_socket = engine_socket
        self._servers: list[asyncio.Server] = []
        self._connections: dict[_ClientSide, None] = {}
        self._none_left = asyncio.Event()

    async def listen_unix(self, path: str) -> None:
        """Accept clients on a unix socket, in place of a stale one. Raises `OSError`."""
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
            os.chmod(path, _SOCKET_MODE)
        except OSError:
            listener.close()
            raise
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(self._accept, sock=listener, backlog=MAX_CONNECTIONS))

    async def listen_tls(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Accept clients over TLS; returns the port (useful when `port` is 0). Raises `OSError`.

        TLS streams of asyncio have no half-close: stdin of an exec cannot end before its output does.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._accept, host, port, ssl=context, backlog=MAX_CONNECTIONS)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and cut all connections."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        if self._connections:
            await self._none_left.wait()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    def backend_of(self, head: RequestHead) -> str:
        """Path of the socket that answers the request."""
        return self._own_socket if self._is_ours(head.method, head.path) else self._engine_socket

    @property
    def is_full(self) -> bool:
        """Whether one more connection would be too many."""
        return len(self._connections) > self._max_connections

    def opened(self, connection: "_ClientSide") -> None:
        """A client has connected."""
        self._connections[connection] = None
        self._none_left.clear()

    def closed(self, connection: "_ClientSide") -> None:
        """A client's connection is gone."""
        self._connections.pop(connection, None)
        if not self._connections:
            self._none_left.set()

    def _accept(self) -> "_ClientSide":
        return _ClientSide(self)


class _Side(asyncio.Protocol):
    """One end of a spliced connection: what it reads is written to its peer, at the peer's pace."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: _Side | None = None
        self.has_ended = False
        """Nothing more will be read from here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        # Without a peer to take it (it has gone) data is dropped, so that the end of the stream is still seen.
        if self.peer is not None:
            self.peer.write(data)

    def write(self, data: bytes) -> None:
        """Send on what the other side read."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def end_output(self) -> None:
        """The other side will send nothing more: say so to this one, which may go on sending."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self.has_ended or not transport.can_write_eof():
            transport.close()
        else:
            transport.write_eof()

    def eof_received(self) -> bool | None:
        self.has_ended = True
        peer = self.peer
        if peer is None:
            return None
        peer.end_output()
        # It closes when both directions have ended, or when this kind of transport cannot stay half open.
        return not peer.has_ended and self.transport is not None and self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_ended = True
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.peer_lost()

    def peer_lost(self) -> None:
        """The other connection is gone altogether: send what is left to send, and close."""
        self.peer = None
        if self.transport is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.resume_reading()

    def resume_reading(self) -> None:
        """Read on, after the receiver has caught up."""
        if self.transport is not None and not self.transport.is_closing() and not self.has_ended:
            self.transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection."""
        if self.transport is not None:
            self.transport.abort()


class _Phase(Enum):
    HEAD = auto()
    """Collecting the request's head."""
    CONNECTING = auto()
    """The head is whole; the backend is not connected yet."""
    SPLICED = auto()
    """Bytes flow; or the answer has been given and what still comes is dropped."""


class _ClientSide(_Side):
    """A client's connection: collects the head, finds the backend, then splices."""

    def __init__(self, proxy: EngineProxy) -> None:
        super().__init__()
        self._proxy = proxy
        self._phase = _Phase.HEAD
        self._is_upgrade = False
        self._collected = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._proxy.opened(self)
        self._timer = asyncio.get_running_loop().call_later(self._proxy.head_deadline_s, self._head_is_late)
        if self._proxy.is_full:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.SPLICED:
            super().data_received(data)
            return
        searched = max(0, len(self._collected) - len(END_OF_HEAD))
        self._collected += data
        if self._phase is _Phase.CONNECTING:
            return
        end = self._collected.find(END_OF_HEAD, searched)
        if end >= 0:
            self._route(end + len(END_OF_HEAD))
        elif len(self._collected) > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "request head too large")
        elif not self._collected[:1].isalpha():
            self._refuse(HTTPStatus.BAD_REQUEST, "malformed HTTP request")

    def eof_received(self) -> bool | None:
        if self._phase is _Phase.CONNECTING:
            # A client that ends its stream before the backend is there still wants the answer.
            self.has_ended = True
            return True
        return super().eof_received()

    def end_output(self) -> None:
        super().end_output()
        # After an upgrade the client may go on sending for as long as the backend listens.
        if not self._is_upgrade:
            self._linger()

    def peer_lost(self) -> None:
        self.peer = None
        self.resume_reading()
        super().end_output()
        self._linger()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()
        if self._connecting is not None:
            self._connecting.cancel()
        self._proxy.closed(self)

    def _route(self, head_bytes: int) -> None:
        self._stop_timer()
        try:
            if head_bytes > MAX_HEAD_BYTES:
                raise MalformedHead("request head too large")
            head = parse_request_head(bytes(self._collected[:head_bytes]))
            first = head.raw if head.is_upgrade else with_connection_close(head.raw)
        except MalformedHead as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        del self._collected[:head_bytes]
        self._phase, self._is_upgrade = _Phase.CONNECTING, head.is_upgrade
        assert self.transport is not None
        self.transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect(head, first))

    async def _connect(self, head: RequestHead, first: bytes) -> None:
        path = self._proxy.backend_of(head)
        backend = _UpgradeBackendSide() if head.is_upgrade else _Side()
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await asyncio.get_running_loop().create_unix_connection(lambda: backend, path)
        except (OSError, TimeoutError) as error:
            logger.warning("backend of the Docker API is unreachable", extra={"socket": path, "error": str(error)})
            self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"Cannot connect to the Docker daemon at unix://{path}. Is the docker daemon running?",
            )
            return
        self._splice(backend, first)

    def _splice(self, backend: _Side, first: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            backend.abort()
            return
        self._phase = _Phase.SPLICED
        self.peer, backend.peer = backend, self
        backend.write(first + bytes(self._collected))
        self._collected.clear()
        if self.has_ended:
            backend.end_output()
        self.resume_reading()

    def _head_is_late(self) -> None:
        if self._collected:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request head did not arrive in time")
        elif self.transport is not None:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer in Docker's form of an error, and close once the client has had a chance to read it."""
        self._stop_timer()
        self._phase = _Phase.SPLICED
        self._collected.clear()
        body = json.dumps({"message": message}).encode() + b"\n"
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.write(head.encode() + body)
        self.resume_reading()
        self.end_output()

    def _linger(self) -> None:
        if self.transport is None or self.transport.is_closing() or self._timer is not None:
            return
        self._timer = asyncio.get_running_loop().call_later(self._proxy.linger_s, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _UpgradeBackendSide(_Side):
    """The backend of a request for an upgrade: the head of its answer is looked at before it is sent on."""

    def __init__(self) -> None:
        super().__init__()
        self._collected: bytearray | None = bytearray()

    def data_received(self, data: bytes) -> None:
        if self._collected is None:
            super().data_received(data)
            return
        self._collected += data
        end = self._collected.find(END_OF_HEAD)
        if end < 0 and len(self._collected) <= MAX_HEAD_BYTES:
            return
        collected, self._collected = bytes(self._collected), None
        super().data_received(_answer_to_upgrade(collected, end + len(END_OF_HEAD)) if end >= 0 else collected)


def _answer_to_upgrade(data: bytes, head_bytes: int) -> bytes:
    """The beginning of the answer; a refusal tells the client not to use the connection again."""
    head, rest = data[:head_bytes], data[head_bytes:]
    try:
        if response_status(head) != HTTPStatus.SWITCHING_PROTOCOLS:
            head = with_connection_close(head)
    except MalformedHead:
        logger.warning("the backend's answer is not HTTP")
    return head + rest
