"""The log and the vote on the node's disk: PySyncObj's journal, made durable.

PySyncObj's own journal is never synced, is rewritten in place when it shrinks, and cannot tell a torn record from a
whole one. This one is written ahead: `sync` puts all that was added on the disk, in one call however much it is, and
`Replica` calls it before anybody is told of an entry. The term and the vote are durable when `setCurrentTerm` returns.

The file: a head of four slots, then the records. Every record carries a checksum that goes on from the one before it,
so that what is left of records that were deleted never continues the log. A slot is rewritten in turns with its twin:
a torn one leaves the one before. One pair holds term and vote; the other says up to where the records had been synced.
What is broken *before* that mark was acknowledged, so the file is damaged; what is broken behind it never was, and is
dropped, as after a power cut in the middle of a write.

Space is allocated ahead, so that a full disk is noticed (`has_room`) before an entry is taken, not while it is written.
"""

import errno
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from pysyncobj import syncobj
from pysyncobj.journal import Journal
from pysyncobj.journal import MemoryJournal as _MemoryJournal

LogEntry = tuple[bytes, int, int]
"""(command, index, term), as PySyncObj keeps it."""

SPARE_BYTES = 2**16
"""Kept allocated behind the last record: for the entries by which a manager takes office, however full the disk is."""
_STEP_BYTES = 2**16
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_MAGIC = b"SWARMLOG1\n"
_SLOT_SIZE = 512
_VOTE_SLOTS = (_SLOT_SIZE, 2 * _SLOT_SIZE)
_MARK_SLOTS = (3 * _SLOT_SIZE, 4 * _SLOT_SIZE)
_RECORDS_START = 4096
_CHECKSUM = struct.Struct("<I")
_SLOT_HEAD = struct.Struct("<QQQH")
_RECORD_HEAD = struct.Struct("<II")
_ENTRY_HEAD = struct.Struct("<QQ")


class DamagedData(Exception):
    """The Raft files of this manager cannot be used; `str(error)` is one line fit for the user."""


class MemoryJournal(_MemoryJournal):  # type: ignore[misc]  # the library has no types
    """A journal without a disk, for the simulation: always synced, always with room."""

    def sync(self) -> None:
        """Nothing to do."""

    def has_room(self, size: int) -> bool:
        """Always."""
        del size
        return True


class DurableJournal(Journal):  # type: ignore[misc]  # the library has no types
    """An append-only file of log entries. One process at a time; `_destroy` closes it.

    Raises `DamagedData` when it is opened and what it had acknowledged is not there whole, and `OSError` when it
    cannot be read or written. After a failed sync nothing more is taken: the kernel may have dropped what it failed on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[LogEntry] = []
        self._ends: list[tuple[int, int]] = []
        """Of each entry: where its record ends in the file, and its checksum."""
        self._term = 0
        self._vote: str | None = None
        self._votes_written = 0
        self._commit_index = 1
        self._noted: tuple[int, int] | None = None
        self._marks_written = 0
        self._synced_end = _RECORDS_START
        self._is_dirty = False
        self._failure: OSError | None = None
        is_new = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._allocated = os.fstat(self._file).st_size
            if is_new:
                self._begin()
            else:
                self._load()
        except BaseException:
            os.close(self._file)
            raise

    # What PySyncObj calls -----------------------------------------------------------------------------------

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append an entry; it is durable after the next `sync`."""
        self._check_failure()
        command = bytes(command)
        body = _ENTRY_HEAD.pack(idx, term) + command
        checksum = zlib.crc32(body, self._checksum)
        record = _RECORD_HEAD.pack(len(body), checksum) + body
        start = self._end
        if start + len(record) > self._allocated:
            self._allocate(start + len(record))
        _write_at(self._file, start, record)
        self._entries.append((command, idx, term))
        self._ends.append((start + len(record), checksum))
        self._is_dirty = True

    def clear(self) -> None:
        """Forget all entries: a snapshot stands in for them."""
        self._commit_index = 1
        self.deleteEntriesFrom(0)

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        """Forget the entries from this position on, durably."""
        if entryFrom >= len(self._entries):
            return
        del self._entries[entryFrom:], self._ends[entryFrom:]
        if self._end < self._synced_end:
            # First the mark: records missing before it would be damage.
            self._synced_end = self._end
            self._note()
            self._sync_file()
        self._cut()

    def deleteEntriesTo(self, entryTo: int) -> None:
        """Forget the entries before this position; a crash leaves all of them or none. A full disk keeps them."""
        try:
            self.rewrite(self._entries[entryTo:])
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise

    @overload
    def __getitem__(self, item: int) -> LogEntry: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[LogEntry]: ...
    def __getitem__(self, item: int | slice) -> LogEntry | Sequence[LogEntry]:
        return self._entries[item]

    def __len__(self) -> int:
        return len(self._entries)

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        """Note how far the log is committed; written within a second or so, never synced: the others know."""
        self._commit_index = raftCommitIndex

    def getRaftCommitIndex(self) -> int:
        """The commit index noted last, at most the last entry's."""
        return max(1, min(self._commit_index, self._entries[-1][1] if self._entries else 1))

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        """Keep the term and who got this manager's vote in it, durably before it returns."""
        self._check_failure()
        if (term, votedForNodeId) == (self._term, self._vote) and self._votes_written:
            return
        text = b"" if votedForNodeId is None else b"+" + str(votedForNodeId).encode()
        number = self._votes_written + 1
        _write_slot(self._file, _VOTE_SLOTS[number % 2], number, term, 0, text)
        self._sync_file()
        # Both hold it from now on: nothing that later happens to one of them brings an older vote back.
        _write_slot(self._file, _VOTE_SLOTS[(number + 1) % 2], number, term, 0, text)
        # Only now: a vote that could not be written must not pass for one that was, when it is asked for again.
        self._term, self._vote, self._votes_written = term, votedForNodeId, number

    def getCurrentTerm(self) -> int:
        """The term kept last."""
        return self._term

    def getVotedForNodeId(self) -> str | None:
        """Who got this manager's vote in that term."""
        return self._vote

    def onOneSecondTimer(self) -> None:
        """Note the commit index if it has moved."""
        if self._failure is None and self._noted != (self._synced_end, self._commit_index):
            self._note()

    def _destroy(self) -> None:
        os.close(self._file)

    # What `Replica` calls -----------------------------------------------------------------------------------

    def sync(self) -> None:
        """Put what was added on the disk. Raises `OSError`, and for ever after."""
        self._check_failure()
        if not self._is_dirty:
            return
        self._sync_file()
        self._is_dirty = False
        self._synced_end = self._end
        self._note()

    def rewrite(self, entries: Sequence[LogEntry]) -> None:
        """Hold these entries instead, durably; a crash, or an `OSError`, leaves what was before."""
        draft = self._path.with_name(self._path.name + ".draft")
        draft.unlink(missing_ok=True)
        fresh = DurableJournal(draft)
        try:
            fresh.setCurrentTerm(self._term, self._vote)
            fresh.setRaftCommitIndex(self._commit_index)
            for entry in entries:
                fresh.add(*entry)
            fresh.sync()
            draft.replace(self._path)
        except OSError:
            fresh._destroy()
            draft.unlink(missing_ok=True)
            raise
        sync_path(self._path.parent)
        os.close(self._file)
        self.__dict__.update(fresh.__dict__, _path=self._path)

    def has_room(self, size: int) -> bool:
        """Whether entries of `size` bytes can be taken: a full disk says no, and yes again when there is room."""
        wanted = self._end + size + SPARE_BYTES
        if wanted <= self._allocated:
            return True
        try:
            self._allocate(wanted)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            return False
        return True

    def begin_at(self, first: LogEntry, second: LogEntry) -> None:
        """Begin with these two entries if the log has them: a snapshot that holds all before them is in place.

        A crash may have come between the snapshot and the shortening of the log; PySyncObj would throw all of it away.
        """
        if (first[1], first[2]) in ((index, term) for _, index, term in self._entries[1:]):
            position = first[1] - self._entries[0][1]
            if position + 1 < len(self._entries) and self._entries[position + 1][1:] == second[1:]:
                self.deleteEntriesTo(position)

    # The file -----------------------------------------------------------------------------------------------

    @property
    def _end(self) -> int:
        return self._ends[-1][0] if self._ends else _RECORDS_START

    @property
    def _checksum(self) -> int:
        return self._ends[-1][1] if self._ends else 0

    def _begin(self) -> None:
        try:
            self._allocate(_RECORDS_START + SPARE_BYTES)
        except OSError:
            self._path.unlink()
            raise
        _write_at(self._file, 0, _MAGIC)
        self.setCurrentTerm(0, None)
        self._note()
        self._sync_file()
        sync_path(self._path.parent)

    def _load(self) -> None:
        data = self._path.read_bytes()
        if not data.startswith(_MAGIC):
            raise DamagedData(f"the journal {self._path} is damaged: its head is not a journal's")
        votes, marks = _read_slots(data, _VOTE_SLOTS), _read_slots(data, _MARK_SLOTS)
        if votes is None or marks is None:
            raise DamagedData(f"the journal {self._path} is damaged: its head is torn")
        self._votes_written, self._term, _, vote = votes
        self._vote = vote[1:].decode() if vote else None
        self._marks_written, self._synced_end, self._commit_index, _ = marks
        self._read_records(data)
        if self._end < self._synced_end:
            raise DamagedData(
                f"the journal {self._path} is damaged: it is broken at byte {self._end}, "
                f"but {self._synced_end} bytes had been written"
            )
        self._check_order()
        if data[self._end :].strip(b"\0"):
            self._cut()
        self.has_room(0)
        # What a crashed process had written and not synced counts from now on.
        self._is_dirty = True
        self.sync()

    def _read_records(self, data: bytes) -> None:
        offset, checksum = _RECORDS_START, 0
        while offset + _RECORD_HEAD.size <= len(data):
            size, expected = _RECORD_HEAD.unpack_from(data, offset)
            body = data[offset + _RECORD_HEAD.size : offset + _RECORD_HEAD.size + size]
            if size < _ENTRY_HEAD.size or len(body) != size or zlib.crc32(body, checksum) != expected:
                return
            checksum = expected
            offset += _RECORD_HEAD.size + size
            index, term = _ENTRY_HEAD.unpack_from(body)
            self._entries.append((body[_ENTRY_HEAD.size :], index, term))
            self._ends.append((offset, checksum))

    def _check_order(self) -> None:
        first = self._entries[0][1] if self._entries else 0
        if [index for _, index, _ in self._entries] != list(range(first, first + len(self._entries))):
            raise DamagedData(f"the journal {self._path} is damaged: its entries do not follow each other")

    def _allocate(self, wanted: int) -> None:
        """Raises `OSError` when the disk has not so much."""
        start = self._allocated
        if wanted <= start:
            return
        try:
            os.posix_fallocate(self._file, start, max(wanted - start, _STEP_BYTES))
            self._allocated = max(wanted, start + _STEP_BYTES)
        except OSError:
            os.posix_fallocate(self._file, start, wanted - start)
            self._allocated = wanted

    def _cut(self) -> None:
        """Leave nothing behind the last record."""
        os.ftruncate(self._file, self._end)
        self._allocated = self._end
        self._allocate(self._end + SPARE_BYTES)
        self._sync_file()

    def _note(self) -> None:
        self._noted = (self._synced_end, self._commit_index)
        self._marks_written += 1
        _write_slot(self._file, _MARK_SLOTS[self._marks_written % 2], self._marks_written, *self._noted, b"")

    def _sync_file(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._failure = error
            raise

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise OSError(self._failure.errno, f"the journal {self._path} failed: {self._failure.strerror}")


def sync_path(path: Path) -> None:
    """Put a file's content, or a directory's names, on the disk. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_at(file: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _write_slot(file: int, offset: int, number: int, first: int, second: int, text: bytes) -> None:
    body = _SLOT_HEAD.pack(number, first, second, len(text)) + text
    if _CHECKSUM.size + len(body) > _SLOT_SIZE:
        raise ValueError("a slot of the journal's head is too small for this")
    _write_at(file, offset, _CHECKSUM.pack(zlib.crc32(body)) + body)


def _read_slots(data: bytes, offsets: Sequence[int]) -> tuple[int, int, int, bytes] | None:
    """(number, first, second, text) of the slot written last; None when none is whole."""
    found = []
    for offset in offsets:
        slot = data[offset : offset + _SLOT_SIZE]
        if len(slot) < _SLOT_SIZE:
            continue
        number, first, second, length = _SLOT_HEAD.unpack_from(slot, _CHECKSUM.size)
        end = _CHECKSUM.size + _SLOT_HEAD.size + length
        body = slot[_CHECKSUM.size : end]
        if number and _CHECKSUM.pack(zlib.crc32(body)) == slot[: _CHECKSUM.size]:
            found.append((number, first, second, body[_SLOT_HEAD.size :]))
    return max(found, default=None)


def _given(journal: Any) -> Any:
    """PySyncObj asks here for the journal of its configuration, which for us is the journal itself."""
    return MemoryJournal() if journal is None else journal


syncobj.createJournal = _given
