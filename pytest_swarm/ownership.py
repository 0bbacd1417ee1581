"""Whose containers are these? The label on everything we create tells the clean-up whether its owner still lives.

A process id alone is not enough: ids are reused. With the process's start time and the machine's boot id the label
names one process of all times, so a clean-up can never take a live run's cluster.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

LABEL = "org.pytest-swarm-rollout"
DIRECTORY_LABEL = f"{LABEL}.directory"
REUSE_LABEL = f"{LABEL}.reuse"
"""On the network of a cluster that later sessions may use: what it is like."""
_LOCK_FILE = "use.lock"
_STANDING_FILE = "standing"


@dataclasses.dataclass(frozen=True)
class Owner:
    """One pytest process. `run` is a short random name that also serves in container and network names."""

    run: str
    process_id: int
    start_ticks: int
    boot_id: str

    @classmethod
    def current(cls) -> Owner:
        process_id = os.getpid()
        return cls(secrets.token_hex(4), process_id, _start_ticks(process_id) or 0, _boot_id())

    @classmethod
    def parse(cls, label: str) -> Owner | None:
        """Read a label's value; None when it is not one of ours."""
        parts = label.split("/")
        if len(parts) != 4 or not parts[1].isdigit() or not parts[2].isdigit():
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), parts[3])

    @property
    def label(self) -> str:
        return f"{self.run}/{self.process_id}/{self.start_ticks}/{self.boot_id}"

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL: self.label}

    def is_alive(self) -> bool:
        return self.boot_id == _boot_id() and _start_ticks(self.process_id) == self.start_ticks


def _start_ticks(process_id: int) -> int | None:
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return None
    # The command, in parentheses, may hold spaces; what follows it is plain. The start time is field 22.
    return int(stat.rpartition(")")[2].split()[19])


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


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
