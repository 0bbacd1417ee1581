"""Whom a load asks: those it was told of, in turn; or, where they come and go, those a file names at the moment."""

from __future__ import annotations

import itertools
import pathlib

Target = tuple[str, int]
"""Host and port."""


class Targets:
    """The targets of one process: a list, or a file of what `parse_targets` reads, always replaced as a whole."""

    def __init__(self, source: list[Target] | pathlib.Path) -> None:
        self._file = source if isinstance(source, pathlib.Path) else None
        self._targets = [] if isinstance(source, pathlib.Path) else source
        self._seen: tuple[int, int] | None = None
        self._turns = itertools.count()

    def next(self) -> Target:
        """Return the one whose turn it is. Raises OSError, ValueError for a file that cannot be read."""
        if self._file is not None:
            self._read(self._file)
        return self._targets[next(self._turns) % len(self._targets)]

    def _read(self, file: pathlib.Path) -> None:
        status = file.stat()
        version = (status.st_ino, status.st_mtime_ns)
        if version != self._seen:
            self._targets = parse_targets(file.read_text(encoding="ascii"))
            self._seen = version


def parse_targets(text: str) -> list[Target]:
    """Read HOST:PORT[,HOST:PORT...]."""
    targets = []
    for part in text.split(","):
        host, _, port = part.strip().rpartition(":")
        targets.append((host, int(port)))
    return targets
