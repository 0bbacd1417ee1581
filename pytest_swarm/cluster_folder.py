"""The marks in a cluster's folder: who uses the cluster now, and whether it was made to outlive its owner."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

_LOCK_FILE = "use.lock"
_STANDING_FILE = "standing"


class InUse(Exception):
    """Another process holds the cluster."""


@contextlib.contextmanager
def holding(directory: Path) -> Iterator[None]:
    """Hold the cluster whose folder this is, until this process ends at the latest. Raises InUse."""
    with (directory / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse from None
        yield


def is_in_use(directory: Path) -> bool:
    """Whether some process holds the cluster whose folder this is, or it is another user's."""
    try:
        if not (directory / _LOCK_FILE).exists():
            return False
        with holding(directory):
            return False
    except (InUse, PermissionError):
        return True


def mark_standing(directory: Path) -> None:
    """Note that the cluster whose folder this is was made to outlive its owner, and is whole."""
    (directory / _STANDING_FILE).touch()


def is_standing(directory: Path) -> bool:
    """Whether the cluster whose folder this is was made to outlive its owner."""
    return (directory / _STANDING_FILE).exists()
