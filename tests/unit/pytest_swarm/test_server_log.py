"""The service's log is read to its last line, on engines that break off, forget containers or say nothing for long."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

import pytest_swarm.server_log
from pytest_swarm.ledger import ServerEvent
from pytest_swarm.server_log import LogCollector
from pytest_swarm.waiting import Done, NotYet, wait_until


def line(number: int, event: str = "finished") -> bytes:
    return json.dumps({"event": event, "id": f"run-{number}", "time": float(number)}).encode() + b"\n"


class Stream:
    """What docker-py gives for a log that is followed: it ends in silence, whatever ended it."""

    def __init__(self, written: bytes) -> None:
        self._chunks: queue.Queue[bytes | None] = queue.Queue()
        if written:
            self._chunks.put(written)

    def __iter__(self) -> Iterator[bytes]:
        while (chunk := self._chunks.get(timeout=10.0)) is not None:
            yield chunk

    def send(self, chunk: bytes) -> None:
        self._chunks.put(chunk)

    def close(self) -> None:
        self._chunks.put(None)


class Container:
    """A container of the service: its log, and the streams that follow it."""

    def __init__(self, name: str, state: str = "running") -> None:
        self.name = name
        self.state = state
        self.log = b""
        self.streams: list[Stream] = []

    def write(self, chunk: bytes) -> None:
        self.log += chunk
        for stream in self.streams:
            stream.send(chunk)

    def break_streams(self) -> None:
        for stream in self.streams:
            stream.close()
        self.streams.clear()


class Engine:
    """One node's engine. `refusals` holds the errors that the next requests for a log get."""

    def __init__(self, *containers: Container) -> None:
        self._containers = {each.name: each for each in containers}
        self.refusals: list[Exception] = []
        self.is_down = False

    def run(self, container: Container) -> None:
        self._containers[container.name] = container

    def remove(self, container: Container) -> None:
        del self._containers[container.name]

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:
        if self.is_down:
            raise APIError("the engine is down")
        labels = {"com.docker.swarm.task.name": "web"}
        return [{"Id": each.name, "State": each.state, "Labels": labels} for each in list(self._containers.values())]

    def logs(self, name: str, *, stream: bool = False, follow: bool = False, stderr: bool = True) -> Stream | bytes:
        if self.refusals:
            raise self.refusals.pop()
        if name not in self._containers:
            raise NotFound(name)
        container = self._containers[name]
        if not follow:
            return container.log
        followed = Stream(container.log)
        container.streams.append(followed)
        if container.state == "exited":
            followed.close()
        return followed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest_swarm.server_log, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(pytest_swarm.server_log, "_TAIL_SECONDS", 0.5)


def collector_of(*engines: Engine) -> LogCollector:
    nodes: Any = [
        SimpleNamespace(name=f"n{n}", client=SimpleNamespace(api=engine), is_down=False)
        for n, engine in enumerate(engines, start=1)
    ]
    return LogCollector(nodes, "service")


def numbers(events: list[ServerEvent]) -> list[int]:
    return sorted(int(event.request_id.removeprefix("run-")) for event in events)


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(lambda: Done(None) if condition() else NotYet("not yet"), what=what, timeout=5.0, interval=0.005)


def test_containers_are_followed_before_the_load_begins() -> None:
    container = Container("a")
    collector = collector_of(Engine(container))
    collector.start()
    followed = len(container.streams)
    collector.finish()

    assert followed == 1


def test_a_node_that_is_down_is_not_asked() -> None:
    engine = Engine(Container("a"))
    engine.is_down = True
    collector = collector_of(engine)
    collector._nodes[0].is_down = True
    collector.start()
    collector.finish()

    assert collector.problems == ()


def test_a_container_that_appears_is_read_from_its_beginning_and_after_its_removal() -> None:
    engine = Engine()
    collector = collector_of(engine)
    collector.start()
    container = Container("a")
    container.log = line(1)
    engine.run(container)
    until(lambda: container.streams, "following")
    engine.remove(container)

    # The last lines still come after the container has left the list.
    def write_the_end() -> None:
        container.write(line(2))
        container.break_streams()

    end = threading.Timer(0.1, write_the_end)
    end.start()
    events = collector.finish()
    end.join()

    assert numbers(events) == [1, 2]
    assert collector.problems == ()


def test_a_log_that_could_not_be_followed_at_once_is_followed_later() -> None:
    container = Container("a")
    engine = Engine(container)
    engine.refusals = [APIError("too early")]
    collector = collector_of(engine)
    collector.start()
    until(lambda: container.streams, "following at the second attempt")
    container.write(line(1))
    engine.remove(container)
    container.break_streams()

    assert numbers(collector.finish()) == [1]
    assert collector.problems == ()


def test_a_stream_that_broke_is_taken_up_again() -> None:
    container = Container("a")
    engine = Engine(container)
    collector = collector_of(engine)
    collector.start()
    container.write(line(1))
    container.break_streams()
    container.log += line(2)
    until(lambda: container.streams, "following again")
    container.write(line(3))
    engine.remove(container)
    container.break_streams()

    assert numbers(collector.finish()) == [1, 2, 3]


def test_the_log_of_a_task_that_ended_is_read_as_a_whole() -> None:
    container = Container("a")
    engine = Engine(container)
    collector = collector_of(engine)
    collector.start()
    # The stream breaks in the very moment in which the container ends.
    container.state = "exited"
    container.break_streams()
    container.log = line(1)
    events: list[ServerEvent] = []
    until(lambda: "a" in collector._read_whole, "reading the whole log")
    engine.remove(container)
    events = collector.finish()

    assert numbers(events) == [1]


def test_lines_on_their_way_are_waited_for() -> None:
    container = Container("a")
    container.log = line(1)
    collector = collector_of(Engine(container))
    collector.start()
    late = threading.Timer(0.1, lambda: container.write(line(2)))
    late.start()
    events = collector.finish(awaited=["run-1", "run-2"])
    late.join()

    assert numbers(events) == [1, 2]


def test_what_could_not_be_read_is_told() -> None:
    down = Engine()
    refusing = Engine(Container("b", state="exited"))
    down.is_down = True
    refusing.refusals = [APIError("no logs today")] * 1000
    collector = collector_of(down, refusing)
    collector.start()
    collector.finish()

    assert collector.problems == (
        "the containers of n1: APIError: the engine is down",
        "the log of task web on n2: APIError: no logs today",
    )


def test_a_container_that_was_gone_before_its_log_was_read_is_told() -> None:
    engine = Engine(Container("a", state="exited"))
    engine.refusals = [NotFound("no such container")] * 1000
    collector = collector_of(engine)
    collector.start()
    collector.finish()

    assert collector.problems == ("the log of task web on n1: NotFound: no such container",)


class QuietEngine:
    """A socket that speaks just enough of Docker's API to follow a log in which nothing happens for a while."""

    def __init__(self, path: Path, silence: float) -> None:
        import socket

        self._silence = silence
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(2)
        self._listener.close()

    def _answer(self, connection: Any) -> None:
        # A client that was kept waiting by a busy machine has hung up, and asks again.
        with connection, contextlib.suppress(OSError):
            request = connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
            if b"/json" in request.split(b"\r\n")[0]:
                body = b'{"Config": {"Tty": false}}'
                connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                return
            connection.sendall(head + b"\r\n")
            threading.Event().wait(self._silence)
            chunk = line(1)
            connection.sendall(b"\x01\0\0\0" + len(chunk).to_bytes(4) + chunk)


def test_a_quiet_stream_outlasts_the_timeout_of_docker_py(tmp_path: Path) -> None:
    import docker

    engine = QuietEngine(tmp_path / "docker.sock", silence=0.6)
    server = threading.Thread(target=engine.serve)
    server.start()
    # The collector's own engine lists the container; only the stream is docker-py's.
    api = docker.APIClient(base_url=f"unix://{tmp_path / 'docker.sock'}", version="1.41", timeout=0.2)
    container = Container("a")
    listing = Engine(container)
    node: Any = SimpleNamespace(
        name="n1",
        client=SimpleNamespace(api=SimpleNamespace(containers=listing.containers, logs=api.logs)),
        is_down=False,
    )
    collector = LogCollector([node], "service")
    collector.start()
    first = collector._streams["a"]
    first.thread.join(timeout=5.0)
    listing.remove(container)
    events = collector.finish()
    engine.close()
    server.join(timeout=5.0)
    api.close()

    assert numbers(events) == [1]
