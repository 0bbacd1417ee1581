"""Whom a load asks: nodes chosen once, or those that run a task, followed while the load runs.

Host-mode ports answer only where a task is. Who uses them learns from the managers where that is, as balancers do that
know Docker's API (Traefik's swarm provider), and so does the load: else what it lost would be that of a client who
goes on asking where a task once was.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.load_settings import Targets

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster
    from pytest_swarm.service import Service

FILE_NAME = "targets"


def serving_nodes(tasks: Sequence[Mapping[str, Any]]) -> set[str]:
    """The IDs of the nodes with a task that runs and is to go on running."""
    return {task["NodeID"] for task in tasks if task["Status"]["State"] == task["DesiredState"] == "running"}


class LoadTargets:
    """The targets of a load on a service's first published port, each HOST:PORT."""

    def __init__(self, cluster: Cluster, entrance: Service, wanted: Targets) -> None:
        self._cluster = cluster
        self._entrance = entrance
        self._wanted = wanted
        self._names: Mapping[str, str] = {}
        self._path: Path | None = None
        self._lock = threading.Lock()
        self.are_followed = wanted == "task-nodes" or cluster.engine.publish_mode() == "host"

    def at_first(self) -> list[str]:
        """Those to begin with."""
        names = [node.name for node in self._cluster.nodes]
        if self.are_followed:
            self._names = {node_id: name for name, node_id in self._cluster.node_ids().items()}
            names = self._of(serving_nodes(self._entrance.tasks())) or names
        elif isinstance(self._wanted, tuple):
            names = list(self._wanted)
        elif self._wanted == "one-node":
            names = names[:1]
        return self._addresses(names)

    def start(self, directory: Path) -> None:
        """Write them to a file there whenever they change, until `stop`; with none left it keeps the last ones."""
        self._path = directory / FILE_NAME
        self._write(self.at_first())
        self._entrance.observer.follow(self._follow)

    def stop(self) -> None:
        """Write no more; without a start that does nothing."""
        with self._lock:
            was_started, self._path = self._path is not None, None
        if was_started:
            self._entrance.observer.unfollow(self._follow)

    def _follow(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        with self._lock:
            names = self._of(serving_nodes(tasks))
            if names and self._path is not None:
                self._write(self._addresses(names))

    def _of(self, node_ids: Collection[str]) -> list[str]:
        # A node that joins later is not asked.
        names = sorted(name for node_id, name in self._names.items() if node_id in node_ids)
        return [name for name in names if name in self._wanted] if isinstance(self._wanted, tuple) else names

    def _addresses(self, names: Sequence[str]) -> list[str]:
        (port, *_) = self._entrance.published_ports
        return [f"{self._cluster.node(name).address}:{port}" for name in names]

    def _write(self, targets: Sequence[str]) -> None:
        assert self._path is not None
        text = ",".join(targets)
        if self._path.exists() and self._path.read_text(encoding="ascii") == text:
            return
        # As a whole: the load reads it at any time.
        new = self._path.with_suffix(".new")
        new.write_text(text, encoding="ascii")
        os.replace(new, self._path)
