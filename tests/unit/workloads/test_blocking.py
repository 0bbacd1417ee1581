"""The sample service as a process of its own, on the loopback: what every measurement of a rollout rests on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from workloads.blocking import server as blocking

SECONDS = 10.0  # no wait in this file is longer
Start = Callable[..., "Service"]


class Service:
    """One running server and what it has logged."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def request(self, path: str = "/", **headers: str) -> str:
        with self.connect() as connection:
            connection.sendall(request_bytes(path, Connection="close", **headers))
            return read_all(connection)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=SECONDS)

    def logged(self) -> list[dict[str, object]]:
        """End the process, unless it has ended, and return what it has logged."""
        self.process.kill()
        output, _ = self.process.communicate(timeout=SECONDS)
        return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def start() -> Iterator[Start]:
    with contextlib.ExitStack() as cleanup:

        def start_service(**environment: str) -> Service:
            port = free_port()
            process = cleanup.enter_context(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(blocking.__file__))],
                    env={"PATH": os.environ["PATH"], "PORT": str(port), "BLOCK_SECONDS": "0.2", **environment},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            cleanup.callback(process.kill)
            wait_until_listening(port)
            return Service(process, port)

        yield start_service


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=SECONDS):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on port {port}")


def request_bytes(path: str = "/", method: str = "GET", body: str = "", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def read_all(connection: socket.socket) -> str:
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks).decode()


def read_answer(connection: socket.socket) -> str:
    """One answer of a connection that stays open."""
    received = b""
    while True:
        head, separator, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        if separator and length and len(body) >= int(length[1]):
            return received.decode()
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("closed in the middle of an answer")
        received += chunk


def test_answers_when_it_received_and_when_it_answered(start: Start) -> None:
    answer = start().request()
    timestamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert re.fullmatch(f"{timestamp},{timestamp}", body)
    received, answered = (datetime.fromisoformat(text[:26]) for text in body.split(","))
    assert 0.2 <= (answered - received).total_seconds() < SECONDS


def test_headers_say_who_answered_what(start: Start) -> None:
    answer = start(VERSION="2", TASK="web.1", NODE="n3").request(X_Request_Id="abc-7")
    for header in ("X-Version: 2", "X-Task: web.1", "X-Node: n3", "X-Request-Id: abc-7"):
        assert f"\r\n{header}\r\n" in answer


def test_without_a_node_or_an_id_there_is_no_such_header(start: Start) -> None:
    answer = start().request()
    assert "X-Node" not in answer
    assert "X-Request-Id" not in answer


def test_logs_one_line_for_each_request_received_and_finished(start: Start) -> None:
    service = start(VERSION="1", TASK="web.2")
    before = time.time()
    service.request("/some/path?x=\"'", X_Request_Id='quoted "\\ id')
    service.request(blocking.HEALTH_PATH)  # not a request of the experiment
    lines = service.logged()
    assert [line["event"] for line in lines] == ["received", "finished"]
    for line in lines:
        assert set(line) == {"event", "id", "version", "task", "time", "path"}
        assert (line["id"], line["version"], line["task"]) == ('quoted "\\ id', "1", "web.2")
        assert line["path"] == "/some/path?x=\"'"
        assert isinstance(line["time"], float)
        assert before <= line["time"] <= time.time()


def test_keeps_a_connection_for_several_requests(start: Start) -> None:
    service = start(BLOCK_SECONDS="0", GRACEFUL="1")
    with service.connect() as connection:
        for number in range(3):
            connection.sendall(request_bytes(X_Request_Id=str(number)))
            answer = read_answer(connection)
            assert f"X-Request-Id: {number}\r\n" in answer
            assert "Connection: keep-alive\r\n" in answer
    # Killed, it might not have written the last line yet.
    assert service.stop() == 0
    assert [line["id"] for line in service.logged() if line["event"] == "finished"] == ["0", "1", "2"]


def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    service = start(BLOCK_SECONDS="0")
    with service.connect() as connection:
        connection.sendall(request_bytes(X_Request_Id="1") + request_bytes(X_Request_Id="2", Connection="close"))
        answers = read_all(connection)
    assert re.findall(r"X-Request-Id: (\d)", answers) == ["1", "2"]


def test_reads_the_body_of_a_post(start: Start) -> None:
    service = start(BLOCK_SECONDS="0")
    with service.connect() as connection:
        for number in range(2):  # a body left unread would be taken for the second request
            connection.sendall(request_bytes(method="POST", body="x" * 200_000, X_Request_Id=str(number)))
            assert read_answer(connection).startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "411"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * blocking.LONGEST_HEAD * 2, "413"),
    ],
)
def test_refuses_what_it_does_not_understand(start: Start, sent: bytes, status: str) -> None:
    service = start()
    with service.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())
    assert service.logged() == []


def test_holds_several_hundred_requests_at_once(start: Start) -> None:
    service = start(BLOCK_SECONDS="1")
    began = time.monotonic()
    with ThreadPoolExecutor(300) as clients:
        answers = list(clients.map(lambda number: service.request(X_Request_Id=str(number)), range(300)))
    assert all(answer.startswith("HTTP/1.1 200 ") for answer in answers)
    assert time.monotonic() - began < SECONDS


def test_waits_before_it_listens(start: Start) -> None:
    began = time.monotonic()
    start(BOOT_SECONDS="0.5")
    assert time.monotonic() - began >= 0.5


def test_dies_at_once_with_what_it_holds(start: Start) -> None:
    service = start(BLOCK_SECONDS="5")
    with service.connect() as connection:
        connection.sendall(request_bytes())
        time.sleep(0.1)
        began = time.monotonic()
        assert service.stop() == blocking.TERMINATED
        assert time.monotonic() - began < 0.5
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert [line["event"] for line in service.logged()] == ["received"]


def test_dies_while_it_boots() -> None:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(blocking.__file__))],
        env={"PORT": str(free_port()), "BOOT_SECONDS": "60", "GRACEFUL": "1"},
    )
    try:
        time.sleep(0.5)
        process.terminate()
        assert process.wait(timeout=SECONDS) in (blocking.TERMINATED, -signal.SIGTERM)
    finally:
        process.kill()


def test_graceful_stop_finishes_what_is_in_flight(start: Start) -> None:
    service = start(GRACEFUL="1", BLOCK_SECONDS="0.6")
    with service.connect() as in_flight, service.connect() as unread:
        in_flight.sendall(request_bytes(X_Request_Id="in-flight"))
        time.sleep(0.1)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        # Accepted before the stop, but its request comes only after it.
        unread.sendall(request_bytes(X_Request_Id="unread"))
        assert "X-Request-Id: in-flight\r\n" in read_all(in_flight)
        answer = read_all(unread)
        assert "X-Request-Id: unread\r\n" in answer
        assert "Connection: close\r\n" in answer
        with pytest.raises(ConnectionRefusedError):
            service.connect()
    assert service.process.wait(timeout=SECONDS) == 0
    assert sorted(str(line["id"]) for line in service.logged() if line["event"] == "finished") == [
        "in-flight",
        "unread",
    ]


def test_graceful_stop_closes_an_idle_connection(start: Start) -> None:
    service = start(GRACEFUL="1", BLOCK_SECONDS="0")
    with service.connect() as connection:
        connection.sendall(request_bytes())
        read_answer(connection)
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 2 * blocking.IDLE_DRAIN_SECONDS
        assert connection.recv(1) == b""


def test_graceful_stop_answers_what_is_on_its_way_on_a_kept_connection(start: Start) -> None:
    service = start(GRACEFUL="1", BLOCK_SECONDS="0")
    with service.connect() as connection:
        connection.sendall(request_bytes())
        assert "Connection: keep-alive\r\n" in read_answer(connection)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        connection.sendall(request_bytes(X_Request_Id="late"))
        answer = read_all(connection)
    assert "X-Request-Id: late\r\n" in answer
    assert "Connection: close\r\n" in answer
    assert service.process.wait(timeout=SECONDS) == 0


def test_health_check_asks_the_running_server(start: Start) -> None:
    service = start()
    check = [sys.executable, "-I", "-S", str(Path(blocking.__file__)), "--check"]
    for port, status in ((service.port, 0), (free_port(), 1)):
        assert subprocess.run(check, env={"PORT": str(port)}, timeout=SECONDS, check=False).returncode == status


def test_a_stream_comes_in_pieces_over_the_time_of_blocking(start: Start) -> None:
    service = start(BLOCK_SECONDS="0.5", VERSION="2")
    with service.connect() as connection:
        connection.sendall(request_bytes("/stream", X_Request_Id="r1", Connection="close"))
        begun = time.monotonic()
        head = connection.recv(65536).decode()
        first = time.monotonic() - begun
        body = head.partition("\r\n\r\n")[2] + read_all(connection)
        whole = time.monotonic() - begun

    assert "Transfer-Encoding: chunked\r\n" in head
    assert "X-Version: 2\r\n" in head
    assert first < 0.5 <= whole
    assert len(re.findall(r"(?m)^1f\r\n.{30}\n\r$", body)) == 10
    assert body.endswith("\r\n0\r\n\r\n")
    assert [line["event"] for line in service.logged()] == ["received", "finished"]


def test_a_stream_is_cut_off_where_the_service_dies(start: Start) -> None:
    service = start(BLOCK_SECONDS="30")
    with service.connect() as connection:
        connection.sendall(request_bytes("/stream", X_Request_Id="r1"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        service.stop()
        rest = read_all(connection)

    assert not rest.endswith("0\r\n\r\n")
    assert [line["event"] for line in service.logged()] == ["received"]
