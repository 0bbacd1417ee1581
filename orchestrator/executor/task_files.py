"""Secrets and configs of this node's tasks as files in memory: nothing of them ever reaches the node's disk.

Implements `interfaces.TaskFiles`. Calls do not wait: a tmpfs has nothing to wait for.
"""

import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.executor.task_files_rules import TaskFile, files_of
from orchestrator.interfaces import TaskRejected
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.files import FilePayload
from orchestrator.model.node import NodeDescription
from orchestrator.model.task import Task
from orchestrator.model.templates import expand_payload

MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")
_MOUNT = re.compile(r"^\S+ \S+ \S+ \S+ (\S+) .* - (\S+) ", re.MULTILINE)
"""Mount point and file system type in a line of /proc/self/mountinfo."""

logger = logging.getLogger(__name__)


class MemoryTaskFiles:
    """A directory per task below `directory`, which must be on a tmpfs. Only root may look inside.

    `node` describes this node, for contents that are templates.
    """

    def __init__(self, directory: Path, node: Callable[[], NodeDescription]) -> None:
        self._directory = directory
        self._node = node

    def write(self, task: Task, payloads: Mapping[str, FilePayload]) -> None:
        """Lay out the task's files, those that are there already included. Raises `TaskRejected`."""
        try:
            files = files_of(task)
        except InvalidArgument as error:
            raise TaskRejected(str(error)) from error
        missing = [f"{file.kind} {file.object_name}" for file in files if file.object_id not in payloads]
        if missing:
            raise TaskRejected(f"not available on this node: {', '.join(missing)}")
        if not files:
            return
        try:
            contents = [expand_payload(payloads[file.object_id], task, self._node(), payloads) for file in files]
        except InvalidArgument as error:
            raise TaskRejected(str(error)) from error
        try:
            self._write(task.id, files, contents)
        except OSError as error:
            self.erase(task.id)
            raise TaskRejected(f"secrets and configs cannot be written: {error}") from error

    def erase(self, task_id: str) -> None:
        """Remove the task's directory."""
        shutil.rmtree(self._directory / task_id, ignore_errors=True)

    def task_ids(self) -> Sequence[str]:
        """Names of the directories there are."""
        return sorted(path.name for path in self._directory.iterdir()) if self._directory.is_dir() else ()

    def _write(self, task_id: str, files: Sequence[TaskFile], contents: Sequence[bytes]) -> None:
        directory = self._directory / task_id
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file_system_of(directory) not in MEMORY_FILE_SYSTEMS:
            raise OSError(f"{self._directory} is not in memory: mount a tmpfs there")
        for file, content in zip(files, contents, strict=True):
            path = directory / file.name
            # Replaced as a whole: a container may have the old one mounted, and its mode may forbid writing.
            path.unlink(missing_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                os.fchown(handle, file.uid, file.gid)
                os.fchmod(handle, file.mode)


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that holds the path."""
    points = {Path(point): kind for point, kind in _MOUNT.findall(mounts.read_text())}
    real = path.resolve()
    return next((points[place] for place in (real, *real.parents) if place in points), "")
