"""Turns pieces of tasks' logs into the stream Docker's clients read: whole lines, marked and framed. Sans-I/O.

The clients' parsers depend on every frame holding exactly one line (docker/cli `cli/command/service/logs.go`).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote_plus

from orchestrator.model.service import LogDriver
from orchestrator.model.session import LogFrame

MAX_LINE_BYTES = 64 * 1024
"""A longer line goes out in pieces, so the memory per log stays bounded."""
_DETAIL_OPTIONS = ("env", "env-regex", "labels", "labels-regex", "tag")
_HEADER = struct.Struct(">BxxxI")


@dataclass(frozen=True, slots=True)
class LogFormat:
    """How the client wants its lines."""

    multiplexed: bool
    """Each line framed with its stream's number; otherwise raw, as for a terminal."""
    details: bool
    timestamps: bool
    """Lines come with a leading timestamp, which stays first."""


def has_own_details(driver: LogDriver | None) -> bool:
    """Whether the service asked its log driver to note labels or variables of the container with each line."""
    return driver is not None and any(name in _DETAIL_OPTIONS for name, _ in driver.options)


def context_details(node_id: str, service_id: str, task_id: str) -> str:
    """Where a line is from, as the clients parse it."""
    pairs = {
        "com.docker.swarm.node.id": node_id,
        "com.docker.swarm.service.id": service_id,
        "com.docker.swarm.task.id": task_id,
    }
    return ",".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in pairs.items())


class LogStream:
    """Feed it frames; it gives back the bytes to send."""

    def __init__(self, log_format: LogFormat) -> None:
        self._details: dict[int, bytes] = {}
        self._annotated: set[int] = set()
        self._format = log_format
        self._partial: dict[tuple[int, int], bytearray] = {}

    def open(self, number: int, details: str, *, annotated: bool = False) -> None:
        """Expect frames of a log. `annotated` says that its lines bring details of their own, after any timestamp."""
        self._details[number] = details.encode()
        if annotated:
            self._annotated.add(number)

    def feed(self, frame: LogFrame) -> bytes:
        """Bytes of all lines that the frame completes; at a log's end also of its last, unended one."""
        if frame.number not in self._details:
            return b""
        written = b""
        if frame.data:
            partial = self._partial.setdefault((frame.number, frame.stream), bytearray())
            partial += frame.data.encode("latin-1", errors="replace")
            written = b"".join(self._line(frame.number, frame.stream, line) for line in _take_lines(partial))
        if frame.end:
            written += self._flush(frame.number)
        return written

    def _flush(self, number: int) -> bytes:
        written = b""
        for stream in (1, 2):
            rest = self._partial.pop((number, stream), None)
            if rest:
                written += self._line(number, stream, bytes(rest))
        return written

    def _line(self, number: int, stream: int, line: bytes) -> bytes:
        if self._format.details:
            stamp, space, text = line.partition(b" ") if self._format.timestamps else (b"", b"", line)
            details = self._details[number]
            if number in self._annotated:
                own, _, text = text.partition(b" ")
                details += b"," + own if own else b""
            line = stamp + space + details + b" " + text
        return _HEADER.pack(stream, len(line)) + line if self._format.multiplexed else line


def _take_lines(partial: bytearray) -> Iterator[bytes]:
    while True:
        end = partial.find(b"\n", 0, MAX_LINE_BYTES) + 1
        if not end:
            if len(partial) < MAX_LINE_BYTES:
                return
            end = MAX_LINE_BYTES
        yield bytes(partial[:end])
        del partial[:end]
