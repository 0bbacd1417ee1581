"""The resolv.conf of this node's tasks: it names the cluster's name server, and that alone.

It is mounted over the engine's own, for the engine puts a resolver of its own in between that says other things than
the cluster: it answers this node's containers by itself, under the engine's name for the network, and on internal
networks it asks nobody else (moby's `libnetwork/resolver.go`, since 26.0).
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

from orchestrator.executor.container_rules import resolver_settings
from orchestrator.model.resolver_settings import ResolverSettings, resolver_file
from orchestrator.model.task import Task


class ResolverFiles:
    """One file per task, and some for containers started by hand, in `directory`, which the engine sees as we do.

    `of_node` tells the node's own settings: its search list and options hold for containers that have none.
    """

    def __init__(self, directory: Path, of_node: Callable[[], ResolverSettings]) -> None:
        self._directory = directory
        self._of_node = of_node

    async def write(self, task: Task, nameservers: tuple[str, ...]) -> str:
        """The path of the task's file; "" when it needs none, for it is on no network with names. Raises `OSError`."""
        if not nameservers:
            return ""
        return await asyncio.to_thread(self._put, task.id, resolver_settings(task, nameservers))

    async def write_shared(self, settings: ResolverSettings) -> str:
        """The path of a file that says so, the same for the same text: few differ, so they stay. Raises `OSError`."""
        return await asyncio.to_thread(self._put, None, settings)

    async def erase(self, task_id: str) -> None:
        """Remove the task's file. Idempotent. Raises `OSError`."""
        await asyncio.to_thread((self._directory / task_id).unlink, missing_ok=True)

    def _put(self, task_id: str | None, settings: ResolverSettings) -> str:
        text = resolver_file(settings, self._of_node())
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / (task_id or f"shared-{hashlib.sha256(text.encode()).hexdigest()[:16]}")
        if not path.exists() or path.read_text("utf-8") != text:
            # Whole or not at all: a container may have it mounted.
            fresh = path.with_suffix(".new")
            fresh.write_text(text, "utf-8")
            fresh.chmod(0o644)
            fresh.replace(path)
        return str(path)
