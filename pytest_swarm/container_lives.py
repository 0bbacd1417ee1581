"""When each container of a service lived, on every node, those that are removed meanwhile included.

A container that is gone is in no listing, and its end only among the last 256 events that an engine remembers
(moby/moby, daemon/events/events.go). So engines are asked for their events again and again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_swarm.dns_ledger import Life
from pytest_swarm.engine_client import SERVICE_LABEL, TASK_LABEL, engine_errors

if TYPE_CHECKING:
    from pytest_swarm.node import Node

POLL_SECONDS = 0.5
_EVENTS_SECONDS = 5.0
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
        self._began = 0.0

    def start(self) -> None:
        """Note what is there, and go on in the background. Raises DockerException, OSError."""
        self._began = time.time()
        for node in self._nodes:
            self._list(node)
        for node in self._nodes:
            thread = threading.Thread(target=self._follow, args=(node,), name=f"lives-{node.name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def finish(self) -> tuple[Life, ...]:
        """Note what is there and return all lives. Raises DockerException, OSError."""
        self.stop()
        for node in self._nodes:
            self._read_events(node)
            self._list(node)
        with self._lock:
            return tuple(life for lives in self._lives.values() for life in lives)

    def stop(self) -> None:
        """End what goes on in the background."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=_JOIN_SECONDS)

    def _follow(self, node: Node) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            # One that is under a fault misses nothing: each turn asks for everything that the engine remembers.
            with contextlib.suppress(*engine_errors()):
                if not node.is_down:
                    self._read_events(node)

    def _read_events(self, node: Node) -> None:
        from docker.errors import NotFound

        for event in self._events(node):
            container, moment = event["Actor"]["ID"], event["timeNano"] / 1e9
            with self._lock:
                known = self._lives.get(container, ())
            if event["Action"] == "die":
                self._note(container, (dataclasses.replace(life, stopped=moment) for life in known))
            elif not known:
                # One that came and went between two turns cannot be asked any more.
                with contextlib.suppress(NotFound):
                    self._note(container, _lives_of(node.client.api.inspect_container(container)))

    def _events(self, node: Node) -> list[dict[str, Any]]:
        """What the engine remembers. Not docker-py's `events`, which takes a stream that is cut off for its end."""
        api = node.client.api
        filters = {"type": ["container"], "event": ["start", "die"], "label": [self._label]}
        answer = api.get(
            f"{api.base_url}/v{api.api_version}/events",
            params={"since": f"{self._began:.9f}", "until": f"{time.time():.9f}", "filters": json.dumps(filters)},
            timeout=_EVENTS_SECONDS,
        )
        answer.raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines()]

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
