"""A server on the loopback that treats each request as a script says, and counts how often it saw each id."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pytest_swarm.ledger import ServerEvent

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Version: 7\r\n\r\nok"
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
_REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nX-Version: 7\r\n\r\n"
_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf"
_HEAD = b"HTTP/1.1 200 OK\r\nX-Version: 7\r\n"
_STATUS_LINE = b"HTTP/1."
_NOT_HTTP = b"SSH-2.0-server\r\n"

ANSWERS = {
    "ok": _OK,
    "error": _ERROR,
    "redirect": _REDIRECT,
    "short-body": _SHORT,
    "short-chunk": _CHUNK,
    "short-head": _HEAD,
    "short-status-line": _STATUS_LINE,
    "not-http": _NOT_HTTP,
    "close": b"",
    "reset": b"",
    "reset-in-body": _SHORT,
    "hang": b"",
    "late": _OK,
    "twice": _OK,
}

CLASS_OF = {
    "ok": "answered",
    "error": "http-error",
    "redirect": "http-error",
    "short-body": "truncated",
    "short-chunk": "truncated",
    "short-head": "truncated",
    "short-status-line": "truncated",
    "not-http": "http-error",
    "close": "closed-early",
    "reset": "reset",
    "reset-in-body": "reset",
    "hang": "timed-out",
}


_FINISHED = ("ok", "error", "redirect", "late", "twice")


class ScriptedServer:
    """`script` maps a request id to a key of ANSWERS; `log` is what the server itself says of its requests.

    "late" is answered `late_seconds` after it was received, "twice" is finished by two tasks, as when a proxy repeats
    it.
    """

    def __init__(self, script: Callable[[str], str], late_seconds: float = 0.0) -> None:
        self._script = script
        self._late_seconds = late_seconds
        self.log: list[ServerEvent] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.seen: Counter[str] = Counter()
        self._arrivals = itertools.count(1)

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (request := _read_request(connection)) is not None:
                # Clients that cannot number their requests have them numbered as they arrive.
                identity = request.get("x-request-id") or f"arrival-{next(self._arrivals)}"
                self.seen[identity] += 1
                action = self._script(identity)
                self._note("received", identity)
                if action == "late":
                    # The client is meant to give up meanwhile.
                    time.sleep(self._late_seconds)
                if action in _FINISHED:
                    self._note("finished", identity)
                if action == "twice":
                    self._note("finished", identity, task="web.2.def")
                is_last = action not in _FINISHED or request.get("connection") == "close"
                answer = ANSWERS[action]
                if is_last and action in _FINISHED:
                    # Unsaid, a client with a pool would keep the connection and lose the race with its end.
                    answer = answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
                connection.sendall(answer)
                if action == "hang":
                    return
                if action.startswith("reset"):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if is_last:
                    connection.close()
                    return

    def _note(self, event: str, identity: str, task: str = "web.1.abc") -> None:
        self.log.append(ServerEvent(event, identity, time.time(), task, "n1", "7"))


def _read_request(connection: socket.socket) -> dict[str, str] | None:
    """The headers of the next request, whose body has been read too: closing over unread bytes would reset."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lines = (line.partition(":") for line in head.decode().split("\r\n")[1:])
    headers = {name.lower(): value.strip() for name, _, value in lines}
    if head.partition(b"\r\n")[0].endswith(b"HTTP/1.0"):
        headers.setdefault("connection", "close")
    missing = int(headers.get("content-length", "0")) - len(body)
    while missing > 0:
        missing -= len(connection.recv(missing))
    return headers


@contextlib.contextmanager
def scripted_server(script: Callable[[str], str], late_seconds: float = 0.0) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script, late_seconds)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(timeout=5.0)


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port of the loopback that is taken, so that nobody else listens there, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def take_turns(actions: Sequence[str]) -> Callable[[str], str]:
    """A script by the request's number, the last part of its id."""
    return lambda identity: actions[int(identity.rpartition("-")[2]) % len(actions)]
