"""Whom a load asks: nodes chosen once, or those that run a task, followed while the load runs.

Host-mode ports answer only where a task is. Who uses them learns from the managers where that is, as balancers do that
know Docker's API (Traefik's swarm provider), and so does the load: else what it lost would be that of a client who
goes on asking where a task once was.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.conditions import is_running
from pytest_swarm.load_settings import Targets

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster
    from pytest_swarm.service import Service

FILE_NAME = "targets"


class LoadTargets:
    """The targets of a load on a service's first published port, each HOST:PORT, in a file the load reads."""

    def __init__(self, cluster: Cluster, entrance: Service, wanted: Targets) -> None:
        self._cluster = cluster
        self._entrance = entrance
        self._wanted = wanted
        self._names: Mapping[str, str] = {}
        self._path: Path | None = None
        self._current: list[str] = []
        self._lock = threading.Lock()
        self._are_followed = wanted == "task-nodes" or cluster.engine.publish_mode() == "host"

    @property
    def current(self) -> list[str]:
        """Those in the file now."""
        with self._lock:
            return list(self._current)

    def start(self, directory: Path) -> None:
        """Write them to FILE_NAME there; if tasks are followed, again on every change, until `stop`."""
        names = [node.name for node in self._cluster.nodes]
        if self._are_followed:
            self._names = {node_id: name for name, node_id in self._cluster.node_ids().items()}
            names = self._serving(self._entrance.tasks()) or names
        elif isinstance(self._wanted, tuple):
            names = list(self._wanted)
        elif self._wanted == "one-node":
            names = names[:1]
        with self._lock:
            self._path = directory / FILE_NAME
            self._write(names, self._path)
        if self._are_followed:
            self._entrance.observer.follow(self._follow)

    def stop(self) -> None:
        """Write no more; without a start that does nothing."""
        with self._lock:
            self._path = None
        if self._are_followed:
            self._entrance.observer.unfollow(self._follow)

    def _follow(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        names = self._serving(tasks)
        with self._lock:
            # With none left the last ones are asked on.
            if names and self._path is not None:
                self._write(names, self._path)

    def _serving(self, tasks: Sequence[Mapping[str, Any]]) -> list[str]:
        # A node that joins later is not asked.
        node_ids = {task["NodeID"] for task in tasks if is_running(task)}
        names = sorted(name for node_id, name in self._names.items() if node_id in node_ids)
        return [name for name in names if name in self._wanted] if isinstance(self._wanted, tuple) else names

    def _write(self, names: Sequence[str], path: Path) -> None:
        (port, *_) = self._entrance.published_ports
        targets = [f"{self._cluster.node(name).address}:{port}" for name in names]
        if targets == self._current:
            return
        # As a whole: the load reads it at any time.
        new = path.with_suffix(".new")
        new.write_text(",".join(targets), encoding="ascii")
        os.replace(new, path)
        self._current = targets
