"""When each container of a service lived, on every node, those that are removed meanwhile included.

A container that is gone is in no listing, and its end only among the last 256 events that an engine remembers
(moby/moby, daemon/events/events.go). So engines are asked for their events again and again.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_swarm.dns_ledger import Life
from pytest_swarm.engine_client import SERVICE_LABEL, TASK_LABEL, engine_errors

if TYPE_CHECKING:
    from pytest_swarm.node import Node

POLL_SECONDS = 0.5
_JOIN_SECONDS = 10.0
_NEVER = "0001-01-01T00:00:00Z"


class ContainerLives:
    """Remembers the lives of the containers of one service between `start` and `finish`."""

    def __init__(self, nodes: Sequence[Node], service_id: str) -> None:
        self._nodes = nodes
        self._label = f"{SERVICE_LABEL}={service_id}"
        self._lives: dict[str, tuple[Life, ...]] = {}
        """By container: one life for each address."""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Note what is there, and go on in the background. Raises DockerException, OSError."""
        began = time.time()
        for node in self._nodes:
            self._list(node)
            follow = functools.partial(self._follow, node, began)
            self._threads.append(threading.Thread(target=follow, name=f"lives-{node.name}", daemon=True))
        for thread in self._threads:
            thread.start()

    def finish(self) -> tuple[Life, ...]:
        """Note what is there and return all lives. Raises DockerException, OSError."""
        self.stop()
        for node in self._nodes:
            self._list(node)
        with self._lock:
            return tuple(life for lives in self._lives.values() for life in lives)

    def stop(self) -> None:
        """End what goes on in the background."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=_JOIN_SECONDS)

    def _follow(self, node: Node, since: float) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopped.wait(POLL_SECONDS)
            until = time.time()
            try:
                if not node.is_down:
                    self._read_events(node, since, until)
                    since = until
            except engine_errors():
                # It may be under a fault; the next turn asks for what this one missed.
                continue

    def _read_events(self, node: Node, since: float, until: float) -> None:
        from docker.errors import NotFound

        filters = {"type": "container", "event": ["start", "die"], "label": self._label}
        for event in node.client.api.events(since=since, until=until, filters=filters, decode=True):
            container, moment = event["Actor"]["ID"], event["timeNano"] / 1e9
            with self._lock:
                known = self._lives.get(container, ())
            if event["Action"] == "die":
                self._note(container, (dataclasses.replace(life, stopped=moment) for life in known))
            elif not known:
                try:
                    self._note(container, _lives_of(node.client.api.inspect_container(container)))
                except NotFound:
                    # It is gone within a poll of its start: no name was ever given to it.
                    continue

    def _list(self, node: Node) -> None:
        listed = node.client.containers.list(all=True, filters={"label": self._label}, ignore_removed=True)
        for container in listed:
            self._note(container.id, _lives_of(container.attrs))

    def _note(self, container: str, lives: Iterator[Life]) -> None:
        noted = tuple(lives)
        with self._lock:
            self._lives[container] = noted


def _lives_of(shown: Mapping[str, Any]) -> Iterator[Life]:
    state = shown["State"]
    if state["StartedAt"] == _NEVER:
        return
    stopped = None if state["Running"] else epoch(state["FinishedAt"])
    for address in _addresses(shown):
        yield Life(address, shown["Config"]["Labels"][TASK_LABEL], epoch(state["StartedAt"]), stopped)


def _addresses(shown: Mapping[str, Any]) -> Iterator[str]:
    """Every address the container was given; a stopped one has them only as its configuration."""
    for endpoint in shown["NetworkSettings"]["Networks"].values():
        configured = (endpoint.get("IPAMConfig") or {}).get("IPv4Address")
        address = configured or endpoint.get("IPAddress")
        if address:
            yield address


def epoch(text: str) -> float:
    """Seconds of a time as the engine writes it, with nanoseconds."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.datetime.fromisoformat(seconds).replace(tzinfo=datetime.UTC)
    return moment.timestamp() + float(f"0.{fraction or '0'}")
