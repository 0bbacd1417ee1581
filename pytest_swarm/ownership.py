"""Whose containers are these? The label on everything we create tells the clean-up whether its owner still lives.

A process id alone is not enough: ids are reused. With the process's start time and the machine's boot id the label
names one process of all times, so a clean-up can never take a live run's cluster.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
from pathlib import Path

LABEL = "org.pytest-swarm-rollout"
DIRECTORY_LABEL = f"{LABEL}.directory"
REUSE_LABEL = f"{LABEL}.reuse"
"""On the network of a cluster that later sessions may use: what it is like."""
PREFIX = "swarm-"
"""What the names of all that we make on this machine begin with."""


@dataclasses.dataclass(frozen=True)
class Owner:
    """One pytest process. `run` is a short random name that also serves in the names of what it makes."""

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

    @property
    def name(self) -> str:
        """What the names of all that it makes begin with, and the name of its network."""
        return f"{PREFIX}{self.run}"

    def name_of(self, what: str) -> str:
        """The name of its container of this kind, such as a node."""
        return f"{self.name}-{what}"

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
