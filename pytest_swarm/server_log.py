"""What the service itself says about the requests it saw: its containers' logs, read on every node as they grow.

Logs are read live, because a task that is scaled away or replaced takes its log with it. They are read from the
node's containers rather than from the service's log, so that a manager that fails does not take the evidence along.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_swarm.engine_client import SERVICE_LABEL, TASK_LABEL, engine_errors
from pytest_swarm.ledger import FINISHED, RECEIVED, ServerEvent
from pytest_swarm.node import Node

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.3
# How long the end of a log may lag behind the end of the load.
_TAIL_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_EVENTS = frozenset([RECEIVED, FINISHED])
_RUNNING = frozenset(["running", "paused", "restarting"])
_ENDED = frozenset(["exited", "dead"])


def parse_line(line: str, task: str, node: str) -> ServerEvent | None:
    """Read one line of the service's log; None when it is not about a request with an id."""
    try:
        fields = json.loads(line)
        if fields["event"] not in _EVENTS or not fields["id"]:
            return None
        return ServerEvent(
            event=fields["event"],
            request_id=fields["id"],
            time=float(fields["time"]),
            task=task or str(fields.get("task", "")),
            node=node,
            version=fields.get("version"),
        )
    except (ValueError, TypeError, KeyError):
        return None


@dataclasses.dataclass(frozen=True)
class _Container:
    """A container of the service as its node lists it."""

    node: Node
    id: str
    state: str
    task: str

    @property
    def log_name(self) -> str:
        return f"the log of task {self.task} on {self.node.name}"


@dataclasses.dataclass
class _Stream:
    """A log that is being followed. `given_up` is set before it is closed from this end."""

    container: _Container
    chunks: Any
    thread: threading.Thread = dataclasses.field(init=False)
    given_up: bool = False


class LogCollector:
    """Follows the logs of all containers of a service, on all nodes, between `start` and `finish`.

    A stream of docker-py ends in the same silence when the log ends and when the connection breaks or times out. So a
    container that still runs is followed anew, from the beginning of its log, and one that has ended is read once
    more as a whole; equal lines are one event.
    """

    def __init__(self, nodes: Sequence[Node], service_id: str) -> None:
        self._nodes = nodes
        self._service_id = service_id
        self._events: dict[ServerEvent, None] = {}
        self._streams: dict[str, _Stream] = {}
        self._followed: set[str] = set()
        self._read_whole: set[str] = set()
        self._problems: dict[str, str] = {}
        self._watchers: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read and was not read later either, one sentence each."""
        with self._lock:
            return tuple(f"{what}: {error}" for what, error in self._problems.items())

    def start(self) -> None:
        """Follow every container there is, then go on in the background with those that appear."""
        for node in self._nodes:
            self._look(node)
        for node in self._nodes:
            watcher = threading.Thread(
                target=functools.partial(self._watch, node), name=f"service-log-{node.name}", daemon=True
            )
            self._watchers.append(watcher)
            watcher.start()

    def finish(self, awaited: Collection[str] = ()) -> list[ServerEvent]:
        """Stop following, read once more what is still there, and return all events in the order of their reading.

        Lines on their way are waited for, 5 s at most, until each request `awaited` has finished by the log.
        """
        self._stopped.set()
        for watcher in self._watchers:
            watcher.join(timeout=_TAIL_SECONDS)
        deadline = time.monotonic() + _TAIL_SECONDS
        remaining = self._sweep()
        while self._lacks_any(awaited) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            remaining = self._sweep()
        self._end_streams(remaining, deadline)
        with self._lock:
            return list(self._events)

    def _watch(self, node: Node) -> None:
        while not self._stopped.wait(_POLL_SECONDS):
            self._look(node)

    def _look(self, node: Node) -> None:
        for container in self._containers(node):
            with self._lock:
                is_settled = container.id in self._streams or container.id in self._read_whole
            if is_settled:
                continue
            if container.state in _RUNNING:
                self._follow(container)
            elif container.state in _ENDED:
                self._read_all(container)

    def _sweep(self) -> set[str]:
        """Read the logs of all containers as they are now, and return whose logs could be read."""
        containers = [container for node in self._nodes for container in self._containers(node)]
        for container in containers:
            with self._lock:
                is_read = container.id in self._read_whole
            if not is_read:
                self._read_all(container)
        with self._lock:
            return {each.id for each in containers if each.log_name not in self._problems}

    def _containers(self, node: Node) -> list[_Container]:
        if node.is_down:  # it would keep us waiting; what it wrote before was read as it came
            return []
        filters = {"label": f"{SERVICE_LABEL}={self._service_id}"}
        listing: list[Mapping[str, Any]] = []
        with self._noting(f"the containers of {node.name}"):
            listing = node.client.api.containers(all=True, filters=filters)
        return [
            _Container(node, each["Id"], each["State"], str(each["Labels"].get(TASK_LABEL, ""))) for each in listing
        ]

    def _follow(self, container: _Container) -> None:
        with self._noting(container.log_name):
            chunks = container.node.client.api.logs(container.id, stream=True, follow=True, stderr=False)
            stream = _Stream(container, chunks)
            stream.thread = threading.Thread(
                target=functools.partial(self._read_stream, stream),
                name=f"service-log-{container.task}",
                daemon=True,
            )
            with self._lock:
                self._followed.add(container.id)
                self._streams[container.id] = stream
            stream.thread.start()

    def _read_stream(self, stream: _Stream) -> None:
        try:
            self._read(stream.chunks, stream.container)
        except engine_errors() as error:
            if not stream.given_up:
                self._note(stream.container.log_name, error)
        finally:
            with self._lock:
                del self._streams[stream.container.id]

    def _read_all(self, container: _Container) -> None:
        with self._lock:
            was_followed = container.id in self._followed
        # One that was removed meanwhile has been read by its stream.
        with self._noting(container.log_name, may_be_gone=was_followed):
            self._read([container.node.client.api.logs(container.id, stderr=False)], container)
            if container.state in _ENDED:
                with self._lock:
                    self._read_whole.add(container.id)

    def _end_streams(self, readable: Collection[str], deadline: float) -> None:
        """Wait for the ends of the logs that only their streams still hold, then let all go."""
        with self._lock:
            streams = list(self._streams.values())
        for stream in streams:
            if stream.container.id not in readable:
                stream.thread.join(timeout=max(0.0, deadline - time.monotonic()))
                if stream.thread.is_alive():
                    self._note(stream.container.log_name, TimeoutError("it has no end"))
            stream.given_up = True
            # It may end at the same moment; then there is nothing left to close.
            with contextlib.suppress(OSError, AttributeError):
                stream.chunks.close()
        for stream in streams:
            stream.thread.join(timeout=_CLOSE_SECONDS)

    def _lacks_any(self, awaited: Collection[str]) -> bool:
        """Whether a request is missing from a log that tells of others."""
        with self._lock:
            finished = {event.request_id for event in self._events if event.event == FINISHED}
        return bool(finished) and not finished.issuperset(awaited)

    @contextlib.contextmanager
    def _noting(self, what: str, *, may_be_gone: bool = False) -> Iterator[None]:
        """Keep the error with which something could not be read, until it can be."""
        from docker.errors import NotFound

        try:
            yield
        except engine_errors() as error:
            if not (may_be_gone and isinstance(error, NotFound)):
                self._note(what, error)
        else:
            with self._lock:
                self._problems.pop(what, None)

    def _note(self, what: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        with self._lock:
            is_known = self._problems.get(what) == text
            self._problems[what] = text
        if not is_known:
            logger.warning("the service's log could not be read", extra={"what": what, "error": text})

    def _read(self, chunks: Iterable[bytes], container: _Container) -> None:
        rest = b""
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            self._add(lines, container)
        self._add([rest], container)

    def _add(self, lines: Iterable[bytes], container: _Container) -> None:
        parsed = (parse_line(line.decode(errors="replace"), container.task, container.node.name) for line in lines)
        events = [event for event in parsed if event is not None]
        with self._lock:
            self._events.update(dict.fromkeys(events))
