"""The article's service: it blocks for a second and answers when it started and stopped waiting.

It is the worst case on purpose. On SIGTERM it dies at once with whatever it holds, unless GRACEFUL=1; and it
takes one connection per thread, so several hundred requests can be blocked at the same time.

It runs in an image that holds little more than this file and a Python, and every millisecond before it
listens delays an update, so it imports few modules and speaks just enough HTTP/1.1 itself.

Settings (environment): BLOCK_SECONDS, BOOT_SECONDS, GRACEFUL, PORT, VERSION, TASK, NODE.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from typing import NamedTuple  # the module dataclasses would double the start-up time

BACKLOG = 1024
STACK_BYTES = 256 * 1024  # of a thread: hundreds of them must fit into a small memory limit
RECEIVE_BYTES = 64 * 1024
LONGEST_HEAD = 64 * 1024
LONGEST_BODY = 64 * 1024 * 1024
IDLE_SECONDS = 120.0  # a kept-alive connection without a request is closed then
DRAIN_SECONDS = 5.0  # while stopping, how long a connection that never sent anything is waited for
IDLE_DRAIN_SECONDS = 1.0  # and one between two requests: the next may be on its way, and the answer says it is the last
HEALTH_PATH = "/health"
HEALTH_SECONDS = 5.0
STREAM_PATH = "/stream"  # answered in pieces, from the first moment to the last
STREAM_PIECES = 10
TERMINATED = 128 + signal.SIGTERM

STATUS_TEXTS = {200: "OK", 400: "Bad Request", 411: "Length Required", 413: "Content Too Large"}


class ConnectionClosed(Exception):
    """The client is gone, or has nothing more to say."""


class BadRequest(Exception):
    """What was received is no request this server understands."""

    def __init__(self, status: int) -> None:
        super().__init__(STATUS_TEXTS[status])
        self.status = status


class Settings(NamedTuple):
    """How this process was told to behave."""

    port: int
    block_seconds: float
    boot_seconds: float
    graceful: bool
    version: str
    task: str
    node: str


class Request(NamedTuple):
    """The parts of a request that an answer depends on."""

    method: str
    path: str
    id: str
    keep_alive: bool


def read_settings() -> Settings:
    """Read the environment; the version is baked into the image, unless VERSION says otherwise."""
    environment = os.environ
    return Settings(
        port=int(environment.get("PORT", "8080")),
        block_seconds=float(environment.get("BLOCK_SECONDS", "1")),
        boot_seconds=float(environment.get("BOOT_SECONDS", "0")),
        graceful=environment.get("GRACEFUL", "") == "1",
        version=environment.get("VERSION") or _baked_version(),
        task=environment.get("TASK") or socket.gethostname(),
        node=environment.get("NODE", ""),
    )


class Server:
    """Accepts connections on one thread and serves each on its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listener = socket.create_server(("", settings.port), backlog=BACKLOG, reuse_port=False)
        self._threads: set[threading.Thread] = set()
        # Closing the write end wakes every thread that waits for a request, with no signal to lose.
        self._stopping, self._stop = os.pipe()
        self._stop_requested = False

    def request_stop(self) -> None:
        """Begin a graceful stop; from any thread."""
        if not self._stop_requested:
            self._stop_requested = True
            os.close(self._stop)

    def run(self) -> None:
        """Serve until a graceful stop is requested, then finish what has been accepted."""
        while not self._stop_requested:
            if self._listener in wait_readable(self._listener, self._stopping, None):
                self._accept()
        # Connections the kernel has completed but nobody has taken yet are promises too.
        self._listener.setblocking(False)
        try:
            while True:
                self._accept()
        except BlockingIOError:
            self._listener.close()
        for thread in list(self._threads):
            thread.join()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except ConnectionAbortedError:  # the client was gone before its turn came
            return
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
        self._threads.add(thread)
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                reader = Reader(connection, self._stopping)
                while self._serve_one(connection, reader):
                    pass
        except (ConnectionClosed, OSError):
            pass  # the client's business: its own record says what became of the request
        finally:
            self._threads.discard(threading.current_thread())

    def _serve_one(self, connection: socket.socket, reader: Reader) -> bool:
        """Answer the next request; whether another may follow on this connection."""
        try:
            request = reader.read_request()
        except BadRequest as error:
            connection.sendall(self._answer(error.status, str(error), "", keep_alive=False))
            return False
        if request.path == HEALTH_PATH:
            keep_alive = self._may_keep(request)
            connection.sendall(self._answer(200, "ok", request.id, keep_alive=keep_alive))
            return keep_alive
        self._log("received", request)
        if request.path == STREAM_PATH:
            keep_alive = self._stream(connection, request)
        else:
            received = time.time_ns()
            time.sleep(self._settings.block_seconds)
            body = f"{format_time(received)},{format_time(time.time_ns())}"
            keep_alive = self._may_keep(request)
            answer = self._answer(200, body, request.id, keep_alive=keep_alive, head=request.method == "HEAD")
            connection.sendall(answer)
        self._log("finished", request)
        return keep_alive

    def _stream(self, connection: socket.socket, request: Request) -> bool:
        """Send the time in pieces for as long as another request would block."""
        keep_alive = self._may_keep(request)
        connection.sendall(self._head(200, ("Transfer-Encoding", "chunked"), request.id, keep_alive))
        for _ in range(STREAM_PIECES):
            time.sleep(self._settings.block_seconds / STREAM_PIECES)
            piece = f"{format_time(time.time_ns())}\n"
            connection.sendall(f"{len(piece):x}\r\n{piece}\r\n".encode())
        connection.sendall(b"0\r\n\r\n")
        return keep_alive

    def _may_keep(self, request: Request) -> bool:
        return request.keep_alive and not self._stop_requested

    def _answer(self, status: int, body: str, request_id: str, *, keep_alive: bool, head: bool = False) -> bytes:
        content = body.encode()
        start = self._head(status, ("Content-Length", str(len(content))), request_id, keep_alive)
        return start if head else start + content

    def _head(self, status: int, framing: tuple[str, str], request_id: str, keep_alive: bool) -> bytes:
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            framing[0]: framing[1],
            "Connection": "keep-alive" if keep_alive else "close",
            "X-Version": self._settings.version,
            "X-Task": self._settings.task,
        }
        if self._settings.node:
            headers["X-Node"] = self._settings.node
        if request_id:
            headers["X-Request-Id"] = request_id
        lines = [f"HTTP/1.1 {status} {STATUS_TEXTS[status]}", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _log(self, event: str, request: Request) -> None:
        settings = self._settings
        fields = {"event": event, "id": request.id, "version": settings.version, "task": settings.task}
        text = ", ".join(f'"{name}": {json_string(value)}' for name, value in fields.items())
        line = f'{{{text}, "time": {time.time():.6f}, "path": {json_string(request.path)}}}\n'
        # One write to an unbuffered descriptor: lines of different threads never mix, and none waits in a buffer.
        os.write(sys.stdout.fileno(), line.encode())


class Reader:
    """Turns the bytes of one connection into requests."""

    def __init__(self, connection: socket.socket, stopping: int) -> None:
        self._connection = connection
        self._stopping = stopping
        self._buffer = b""
        self._is_first = True

    def read_request(self) -> Request:
        """Wait for the next request and read it whole, body included."""
        self._await_first_byte()
        self._is_first = False
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > LONGEST_HEAD:
                raise BadRequest(413)
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        method, path, protocol, headers = parse_head(head)
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._skip_body(headers)
        return Request(method, path, headers.get("x-request-id", ""), wants_keep_alive(protocol, headers))

    def _await_first_byte(self) -> None:
        """A stop shortens the patience. To close at once would lose the request that is on its way just then."""
        if self._buffer:
            return
        readable = wait_readable(self._connection, self._stopping, IDLE_SECONDS)
        if self._connection in readable:
            return
        if self._stopping in readable:
            readable = wait_readable(self._connection, None, DRAIN_SECONDS if self._is_first else IDLE_DRAIN_SECONDS)
        if self._connection not in readable:
            raise ConnectionClosed

    def _skip_body(self, headers: dict[str, str]) -> None:
        if "transfer-encoding" in headers:
            raise BadRequest(411)
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            raise BadRequest(400) from None
        if not 0 <= length <= LONGEST_BODY:
            raise BadRequest(413)
        while len(self._buffer) < length:
            length -= len(self._buffer)
            self._buffer = b""
            self._receive()
        self._buffer = self._buffer[length:]

    def _receive(self) -> None:
        received = self._connection.recv(RECEIVE_BYTES)
        if not received:
            raise ConnectionClosed
        self._buffer += received


def parse_head(head: bytes) -> tuple[str, str, str, dict[str, str]]:
    """Method, path, protocol and headers (names in lower case) of a request."""
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(400)
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(400)
        headers[name.strip().lower()] = value.strip()
    return parts[0], parts[1], parts[2], headers


def wants_keep_alive(protocol: str, headers: dict[str, str]) -> bool:
    """HTTP/1.1 keeps a connection unless told otherwise, HTTP/1.0 only when told so."""
    wish = headers.get("connection", "").lower()
    return wish != "close" if protocol == "HTTP/1.1" else wish == "keep-alive"


def wait_readable(connection: socket.socket, stopping: int | None, seconds: float | None) -> list[socket.socket | int]:
    """Which of the two have something to say (for `stopping`: its other end was closed) within this time."""
    sources: dict[int, socket.socket | int] = {connection.fileno(): connection}
    if stopping is not None:
        sources[stopping] = stopping
    poll = select.poll()  # unlike select it has no limit on the number of a descriptor
    for descriptor in sources:
        poll.register(descriptor, select.POLLIN)
    ready = poll.poll(None if seconds is None else seconds * 1000)
    return [sources[descriptor] for descriptor, _ in ready]


def format_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nanoseconds."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


def json_string(text: str) -> str:
    """A JSON string, without the module json: importing it costs more than the rest of this program."""
    escaped = "".join(
        character if " " <= character <= "~" and character not in '"\\' else f"\\u{ord(character):04x}"
        for character in text
    )
    return f'"{escaped}"'


def check_health(port: int) -> int:
    """Exit status of a health check from inside the image, which has no curl."""
    try:
        with socket.socket() as connection:
            connection.settimeout(HEALTH_SECONDS)
            connection.connect(("127.0.0.1", port))
            connection.sendall(f"GET {HEALTH_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return 0 if connection.recv(RECEIVE_BYTES).startswith(b"HTTP/1.1 200 ") else 1
    except OSError:
        return 1


def main() -> None:
    """Serve, or with `--check` ask the running server whether it answers."""
    settings = read_settings()
    if "--check" in sys.argv[1:]:
        sys.exit(check_health(settings.port))
    server: Server | None = None

    def end_when_told() -> None:
        signal.sigwait({signal.SIGTERM})
        if server is None or not settings.graceful:
            os._exit(TERMINATED)
        server.request_stop()

    # Process 1 of a container ignores SIGTERM unless it asks for it, so even dying at once takes some doing. A handler
    # would run in the main thread, when that wakes up: a signal that came just before it fell asleep would wait for the
    # next client.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.stack_size(STACK_BYTES)
    threading.Thread(target=end_when_told, daemon=True).start()
    time.sleep(settings.boot_seconds)
    server = Server(settings)
    server.run()


def _baked_version() -> str:
    try:
        with open("/version", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return "0"


if __name__ == "__main__":
    main()
