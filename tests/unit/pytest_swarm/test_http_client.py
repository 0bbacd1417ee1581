"""The client by itself, without Locust: bodies sent slowly, and connections that end while they are sent."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.unit.pytest_swarm.scripted_server import scripted_server
from workloads.locustfiles.http_client import Moment, Settings, SingleShotClient


@contextlib.contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection."""

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=5.0)


def read_until(connection: socket.socket, end: bytes) -> list[bytes]:
    pieces = [connection.recv(65536)]
    while not b"".join(pieces).endswith(end):
        pieces.append(connection.recv(65536))
    return pieces


def test_a_slow_body_is_sent_in_pieces() -> None:
    pieces: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        pieces.extend(read_until(connection, b"end"))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    body = b"x" * 997 + b"end"
    with raw_server(serve) as port:
        outcome = SingleShotClient("u", Settings()).send(
            "r1", "127.0.0.1", port, method="POST", body=body, body_seconds=0.5
        )

    received = b"".join(pieces)
    assert outcome.request_class == "answered"
    assert outcome.finished_monotonic - outcome.started_monotonic >= 0.5
    assert len(pieces) >= 5
    assert received.endswith(b"\r\n\r\n" + body)
    assert b"Content-Length: 1000\r\n" in received
    assert b"Transfer-Encoding" not in received


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_tiny_body_can_be_slow_too(size: int) -> None:
    with scripted_server(lambda _: "ok") as server:
        outcome = SingleShotClient("u", Settings()).send(
            "r1", "127.0.0.1", server.port, method="POST", body=b"x" * size, body_seconds=0.05
        )

    assert outcome.request_class == "answered"


def test_a_reset_while_the_body_is_sent() -> None:
    def serve(connection: socket.socket) -> None:
        read_until(connection, b"x")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with raw_server(serve) as port:
        outcome = SingleShotClient("u", Settings()).send(
            "r1", "127.0.0.1", port, method="POST", body=b"x" * 1000, body_seconds=1.0
        )

    assert (outcome.request_class, outcome.stage) == ("reset", "send")
    assert outcome.error in ("ECONNRESET", "EPIPE")


def test_the_time_of_a_request_counts_from_when_it_was_due() -> None:
    with scripted_server(lambda _: "ok") as server:
        due = Moment.now().after(-3.0)
        outcome = SingleShotClient("u", Settings()).send("r1", "127.0.0.1", server.port, due=due)

    assert outcome.finished_monotonic - outcome.started_monotonic >= 3.0
    assert outcome.lateness >= 3.0
    assert (outcome.scheduled, outcome.started_monotonic) == due


def test_a_name_that_does_not_exist_is_told_from_a_port_nobody_listens_at() -> None:
    client = SingleShotClient("u", Settings())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = client.send("r1", "127.0.0.1", taken.getsockname()[1])
    nameless = client.send("r2", "name.invalid", 80)

    assert (closed.request_class, closed.error) == ("refused", "ECONNREFUSED")
    assert (nameless.request_class, nameless.error) == ("refused", "gaierror")
