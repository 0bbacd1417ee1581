"""Where a task's secrets and configs lie on the node and in its container. Pure.

In the container they are where Docker puts them: a secret under /run/secrets, a config under /, and either at its
own place when its target is absolute (moby's `container/container_unix.go`).
"""

import re
from dataclasses import dataclass
from typing import Any

from orchestrator.model.container import FileReference
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.task import Task

SECRETS_DIRECTORY = "/run/secrets"
MAX_ID = 2**32 - 2
"""The largest user or group id Linux knows."""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """One secret or config of a task."""

    object_id: str
    object_name: str
    kind: str
    name: str
    """Its file's name in the task's directory on the node."""
    target: str
    """Absolute path in the container."""
    uid: int
    gid: int
    mode: int


def files_of(task: Task) -> tuple[TaskFile, ...]:
    """The files the task mounts, secrets first. Raises `InvalidArgument` for an owner that is no number."""
    container = task.spec.container
    secrets = [_file(number, "secret", SECRETS_DIRECTORY, item) for number, item in enumerate(container.secrets)]
    mounted = [config for config in container.configs if not config.runtime]
    return (*secrets, *(_file(number, "config", "", item) for number, item in enumerate(mounted)))


def mounts_of(task: Task, directory: str) -> list[dict[str, Any]]:
    """Docker's Mount objects that show the task's files read-only; `directory` is the node's for all tasks."""
    return [
        {"Type": "bind", "Source": f"{directory}/{task.id}/{file.name}", "Target": file.target, "ReadOnly": True}
        for file in files_of(task)
    ]


def _file(number: int, kind: str, base: str, reference: FileReference) -> TaskFile:
    target = reference.target if reference.target.startswith("/") else f"{base}/{reference.target}"
    return TaskFile(
        object_id=reference.object_id,
        object_name=reference.object_name,
        kind=kind,
        # Numbered, because one object may be mounted several times under different targets and owners.
        name=f"{kind}-{number}",
        target=target,
        uid=_owner("uid", reference.uid, reference),
        gid=_owner("gid", reference.gid, reference),
        mode=reference.mode & 0o7777,
    )


def _owner(what: str, text: str, reference: FileReference) -> int:
    if not re.fullmatch("[0-9]{0,10}", text) or int(text or "0") > MAX_ID:
        raise InvalidArgument(f"{reference.object_name}: {what} {text!r} is not a number of a user or group")
    return int(text or "0")
