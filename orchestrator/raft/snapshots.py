"""What a manager keeps on its disk beside the journal.

PySyncObj swallows every error of reading its dump and starts with an empty state instead; so the files are read and
judged here before it sees them.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from orchestrator.raft.journal import DamagedData, DurableJournal, LogEntry, sync_path

_MAGIC = b"SWARMDUMP1"
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Dump:
    """A snapshot of the state with the last two entries it covers and the managers of that moment."""

    state: bytes
    last_entry: LogEntry
    entry_before: LogEntry
    members: tuple[str, ...]
    """"address:port" of every manager, this one included."""


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the file; a crash leaves the old or the new content, durably. Raises `OSError`."""
    draft = path.with_name(path.name + ".draft")
    _write_durably(draft, data, mode)
    draft.replace(path)
    sync_path(path.parent)


def make_durable(path: Path) -> None:
    """Put a file that somebody wrote, and its name, on the disk. Raises `OSError`."""
    sync_path(path)
    sync_path(path.parent)


def write_dump(path: Path, dump: Dump) -> None:
    """Write a dump with its checksum to `path`, durably. PySyncObj moves it into place. Raises `OSError`."""
    body = msgspec.msgpack.encode(dump)
    _write_durably(path, _MAGIC + _CHECKSUM.pack(zlib.crc32(body)) + body, 0o600)


def read_dump(path: Path) -> Dump:
    """The dump of `write_dump`. Raises `DamagedData`."""
    data = path.read_bytes()
    start = len(_MAGIC) + _CHECKSUM.size
    body = data[start:]
    if data[: len(_MAGIC)] != _MAGIC or _CHECKSUM.pack(zlib.crc32(body)) != data[len(_MAGIC) : start]:
        raise DamagedData(f"the snapshot {path} is damaged")
    return msgspec.msgpack.decode(body, type=Dump)


def open_journal(path: Path, dump_path: Path) -> DurableJournal:
    """The journal as it goes with the snapshot there is. Raises `DamagedData` when either is not whole."""
    dump = read_dump(dump_path) if dump_path.exists() else None
    journal = DurableJournal(path)
    if dump is not None:
        journal.begin_at(dump.entry_before, dump.last_entry)
    elif len(journal) and journal[0][1] != 1:
        first = journal[0][1]
        journal._destroy()
        raise DamagedData(f"the snapshot {dump_path} is missing: the journal begins at entry {first}")
    return journal


def read_members(path: Path) -> tuple[str, ...] | None:
    """The other managers' "address:port" as last written; None when this manager starts for the first time.

    PySyncObj learns its peers again from the journal, but only up to the commit index it noted, which is up to a
    second old: a manager that restarts just after peers joined would believe to be alone, and elect itself.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=tuple[str, ...])
    except msgspec.DecodeError as error:
        raise DamagedData(f"the list of managers {path} is damaged") from error


def write_members(path: Path, members: Sequence[str]) -> None:
    """Keep the other managers' "address:port". Raises `OSError`."""
    write_atomically(path, msgspec.json.encode(list(members)))


def _write_durably(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
