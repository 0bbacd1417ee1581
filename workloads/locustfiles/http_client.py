"""An HTTP client that sends a request exactly once and says precisely how it ended.

Every client Locust ships hides losses: FastHttpUser re-sends a request whose connection was reset, HttpUser waits
for ever. This one never retries, never falls back to another address, and always times out. It knows neither
Locust nor gevent, so it can be read and tested on its own.
"""

from __future__ import annotations

import dataclasses
import errno
import http.client
import itertools
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple, cast

ANSWERED = "answered"
HTTP_ERROR = "http-error"
REFUSED = "refused"
RESET = "reset"
CLOSED_EARLY = "closed-early"
TRUNCATED = "truncated"
TIMED_OUT = "timed-out"
UNSENT = "unsent"

_NOBODY_LISTENS = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}
_RESET_BY_PEER = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}
_SERVER_CLOSE_SECONDS = 1.0
_BODY_PIECES = 10


class Moment(NamedTuple):
    """One instant on both clocks: seconds since the epoch, and seconds of the clock that never jumps."""

    epoch: float
    monotonic: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.time(), time.monotonic())

    def after(self, seconds: float) -> Moment:
        return Moment(self.epoch + seconds, self.monotonic + seconds)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to send. Times are seconds; `source_port` binds every connection to that local port."""

    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    keep_alive: bool = False
    source_port: int | None = None


@dataclasses.dataclass
class Outcome:
    """What became of one request. Times are seconds since the epoch; None means that step was never reached.

    `scheduled` is when the request was due, and everything is measured from there; `lateness` is how many seconds after
    that it was begun.
    """

    request_id: str
    target: str
    scheduled: float
    started_monotonic: float
    lateness: float = 0.0
    method: str = "GET"
    path: str = "/"
    request_class: str = UNSENT
    stage: str = "connect"
    connected: float | None = None
    sent: float | None = None
    finished: float = 0.0
    finished_monotonic: float = 0.0
    status: int | None = None
    body_bytes: int = 0
    connection: str | None = None
    nth_on_connection: int = 0
    reused: bool | None = False
    connection_age: float = 0.0
    local_port: int | None = None
    version: str | None = None
    task: str | None = None
    error: str | None = None
    detail: str | None = None


class _HeaderWatcher:
    """Notices a stream that ends inside the headers, which `http.client` takes for the end of the headers."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.ended_early = False

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        self.ended_early = self.ended_early or not line
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _StrictResponse(http.client.HTTPResponse):
    """A response that raises IncompleteRead wherever the peer stopped before the end of its answer."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._watcher = _HeaderWatcher(cast("IO[bytes]", self.fp))
        self.fp = cast(Any, self._watcher)

    def begin(self) -> None:
        super().begin()
        self._require_complete()

    def read(self, amt: int | None = None) -> bytes:
        body = super().read(amt)
        self._require_complete()
        return body

    def _require_complete(self) -> None:
        if self._watcher.ended_early:
            raise http.client.IncompleteRead(b"")


class _Connection(http.client.HTTPConnection):
    response_class = _StrictResponse
    # Left on, http.client would silently open a second connection after the first one was closed.
    auto_open = 0

    def __init__(self, name: str, host: str, port: int, sock: socket.socket, *, outlive: bool) -> None:
        super().__init__(host, port)
        self.sock = sock
        # http.client closes its socket with the last byte of the answer; a second handle keeps the connection open.
        self.handle = sock.dup() if outlive else None
        self.name = name
        self.opened = time.monotonic()
        self.requests = 0
        self.local_port: int = sock.getsockname()[1]

    def release(self) -> None:
        """Close everything; `close` alone is also called by http.client, between an answer's head and its body."""
        self.close()
        if self.handle is not None:
            self.handle.close()

    def peer_has_closed(self) -> bool:
        readable, _, _ = select.select([self.sock], [], [], 0)
        return bool(readable)


class SingleShotClient:
    """Sends requests one at a time, each exactly once. One client per user; not for use by several threads."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._settings = settings
        self._serial = itertools.count(1)
        self._open: dict[tuple[str, int], _Connection] = {}

    def close(self) -> None:
        for key in list(self._open):
            self._drop(key)

    def send(
        self,
        request_id: str,
        host: str,
        port: int,
        *,
        method: str = "GET",
        path: str = "/",
        body: bytes | None = None,
        body_seconds: float = 0.0,
        headers: Mapping[str, str] | None = None,
        due: Moment | None = None,
    ) -> Outcome:
        """Send one request and wait for its fate. Never raises for anything that the peer or the network does.

        `due` is when it should have been sent, now unless said otherwise; its time counts from there. The body goes out
        in pieces over `body_seconds`.
        """
        begun = Moment.now()
        due = due or begun
        outcome = Outcome(request_id, f"{host}:{port}", due.epoch, due.monotonic, method=method, path=path)
        outcome.lateness = begun.monotonic - due.monotonic
        try:
            connection = self._connection_for(host, port, outcome)
            all_headers = {**(headers or {}), "X-Request-Id": request_id}
            if body is not None and body_seconds:
                # Named, or http.client would send the pieces as chunks, which not every server takes.
                all_headers["Content-Length"] = str(len(body))
                self._exchange(connection, outcome, _in_pieces(body, body_seconds), all_headers)
            else:
                self._exchange(connection, outcome, body, all_headers)
            self._settle(connection, (host, port))
        except (OSError, http.client.HTTPException) as error:
            outcome.request_class, outcome.detail = classify(error, outcome.stage)
            outcome.error = name_of(error)
            self._drop((host, port))
        outcome.finished, outcome.finished_monotonic = time.time(), time.monotonic()
        return outcome

    def _connection_for(self, host: str, port: int, outcome: Outcome) -> _Connection:
        connection = self._open.get((host, port))
        if connection is not None and connection.peer_has_closed():
            # Nothing of this request has been sent yet, so a fresh connection is not a retry.
            self._drop((host, port))
            connection = None
        if connection is None:
            name = f"{self._name}-{next(self._serial)}"
            outlive = self._settings.source_port is not None
            connection = _Connection(name, host, port, self._connect(host, port), outlive=outlive)
            self._open[host, port] = connection
            outcome.connected = time.time()
        outcome.reused = connection.requests > 0
        connection.requests += 1
        outcome.connection = connection.name
        outcome.nth_on_connection = connection.requests
        outcome.connection_age = time.monotonic() - connection.opened
        outcome.local_port = connection.local_port
        return connection

    def _connect(self, host: str, port: int) -> socket.socket:
        # Only the first address: trying the next one after a refusal would be a hidden retry.
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(self._settings.connect_timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._settings.source_port is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("", self._settings.source_port))
            sock.connect(address)
            sock.settimeout(self._settings.read_timeout)
        except BaseException:
            sock.close()
            raise
        return sock

    def _exchange(
        self,
        connection: _Connection,
        outcome: Outcome,
        body: bytes | Iterator[bytes] | None,
        headers: dict[str, str],
    ) -> None:
        outcome.stage = "send"
        if not self._settings.keep_alive:
            headers["Connection"] = "close"
        connection.request(outcome.method, outcome.path, body=body, headers=headers)
        outcome.sent = time.time()
        outcome.stage = "head"
        response = connection.getresponse()
        outcome.status = response.status
        outcome.version = response.headers.get("X-Version")
        outcome.task = response.headers.get("X-Task")
        outcome.stage = "body"
        outcome.body_bytes = len(response.read())
        if 200 <= response.status < 300:
            outcome.request_class = ANSWERED
        else:
            outcome.request_class, outcome.detail = HTTP_ERROR, f"status {response.status}"
        outcome.stage = "done"

    def _settle(self, connection: _Connection, key: tuple[str, int]) -> None:
        if self._settings.keep_alive and connection.sock is not None:
            return
        if connection.handle is not None:
            _let_peer_close(connection.handle)
        self._drop(key)

    def _drop(self, key: tuple[str, int]) -> None:
        connection = self._open.pop(key, None)
        if connection is not None:
            connection.release()


def _in_pieces(body: bytes, seconds: float) -> Iterator[bytes]:
    """Yield the body piece by piece: the first at once, the last after so many seconds."""
    size = max(1, -(-len(body) // _BODY_PIECES))
    starts = range(0, len(body), size)
    for start in starts:
        if start:
            time.sleep(seconds / (len(starts) - 1))
        yield body[start : start + size]


def _let_peer_close(sock: socket.socket) -> None:
    """Let the peer close first, so that TIME_WAIT stays with it and the source port is free again at once."""
    sock.settimeout(_SERVER_CLOSE_SECONDS)
    try:
        closed = sock.recv(1) == b""
    except OSError:
        closed = False
    if not closed:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def name_of(error: OSError | http.client.HTTPException) -> str:
    """The system's own name of an error (ECONNRESET), or that of its type where it has none."""
    number = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
    return errno.errorcode.get(number or 0, type(error).__name__)


def classify(error: OSError | http.client.HTTPException, stage: str) -> tuple[str, str]:
    """Name the class of a failed request, and say in words what happened at which stage."""
    detail = f"{type(error).__name__} while in {stage}: {error}"
    # RemoteDisconnected is also a ConnectionResetError, but the peer closed in good order: look at it first.
    if isinstance(error, http.client.RemoteDisconnected):
        return CLOSED_EARLY, detail
    if isinstance(error, http.client.IncompleteRead) or _ends_in_status_line(error):
        return TRUNCATED, detail
    if isinstance(error, http.client.HTTPException):
        return HTTP_ERROR, detail
    if isinstance(error, TimeoutError):
        return TIMED_OUT, detail
    if isinstance(error, socket.gaierror) or error.errno in _NOBODY_LISTENS:
        return REFUSED, detail
    if error.errno in _RESET_BY_PEER:
        return RESET, detail
    # What is left (no free port, no file descriptor) went wrong on our side before anything was sent.
    return (UNSENT if stage == "connect" else RESET), detail


def _ends_in_status_line(error: Exception) -> bool:
    """Whether the answer broke off in its first line; a whole line that is no status line is not HTTP."""
    return isinstance(error, http.client.BadStatusLine) and not str(error).endswith("\n")
