"""The log on the disk: what was synced comes back whole, or its damage is named."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.raft import journal as journals
from orchestrator.raft.journal import DamagedData, DurableJournal, LogEntry

VOTER = "10.0.0.2:2378"
RECORDS_START = 4096
RECORD_SIZE = 8 + 16 + len(b"command 1")


@contextmanager
def opened(directory: Path) -> Iterator[DurableJournal]:
    journal = DurableJournal(directory / "journal")
    try:
        yield journal
    finally:
        journal._destroy()


def entry(index: int, term: int = 1) -> LogEntry:
    return (f"command {index}".encode(), index, term)


def write(directory: Path, *indexes: int) -> Path:
    with opened(directory) as journal:
        for index in indexes:
            journal.add(*entry(index))
        journal.sync()
    return directory / "journal"


def damage(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def test_entries_term_and_vote_come_back(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        for index in (1, 2, 3):
            journal.add(*entry(index))
        journal.setCurrentTerm(7, VOTER)
        journal.setRaftCommitIndex(2)
        journal.onOneSecondTimer()
        journal.sync()
    with opened(tmp_path) as again:
        assert again[:] == [entry(1), entry(2), entry(3)]
        assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (7, VOTER)
        assert again.getRaftCommitIndex() == 2


def test_a_vote_for_nobody_comes_back(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.setCurrentTerm(7, VOTER)
        journal.setCurrentTerm(8, None)
    with opened(tmp_path) as again:
        assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (8, None)


def test_many_entries_take_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as journal:
        synced: list[int] = []
        monkeypatch.setattr(os, "fdatasync", synced.append)
        for index in range(1, 101):
            journal.add(*entry(index))
        assert synced == []
        journal.sync()
        journal.sync()
        assert len(synced) == 1


def test_the_vote_is_synced_before_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as journal:
        synced: list[int] = []
        monkeypatch.setattr(os, "fdatasync", synced.append)
        journal.setCurrentTerm(3, VOTER)
        assert len(synced) == 1


@pytest.mark.parametrize("offset", [3, 8, 30, RECORD_SIZE, 2 * RECORD_SIZE + 20], ids=str)
def test_a_damaged_record_is_named(tmp_path: Path, offset: int) -> None:
    path = write(tmp_path, 1, 2, 3)
    damage(path, RECORDS_START + offset)
    with pytest.raises(DamagedData, match=r"^the journal \S+ is damaged: it is broken at byte \d+, but \d+ bytes"):
        DurableJournal(path)


@pytest.mark.parametrize("length", [RECORDS_START + 3 * RECORD_SIZE - 1, RECORDS_START + RECORD_SIZE, RECORDS_START])
def test_a_truncated_journal_is_named(tmp_path: Path, length: int) -> None:
    path = write(tmp_path, 1, 2, 3)
    os.truncate(path, length)
    with pytest.raises(DamagedData, match="is broken at byte"):
        DurableJournal(path)


@pytest.mark.parametrize("length", [0, 5, 600, 2000])
def test_a_journal_without_a_head_is_named(tmp_path: Path, length: int) -> None:
    path = write(tmp_path, 1)
    os.truncate(path, length)
    with pytest.raises(DamagedData, match="its head is"):
        DurableJournal(path)


def test_what_was_torn_before_it_was_synced_is_dropped(tmp_path: Path) -> None:
    """A power cut in the middle of a write: nobody was told of these entries."""
    with opened(tmp_path) as journal:
        journal.add(*entry(1))
        journal.sync()
        journal.add(*entry(2))
        journal.add(*entry(3))
    damage(tmp_path / "journal", RECORDS_START + RECORD_SIZE + 20)
    with opened(tmp_path) as again:
        assert again[:] == [entry(1)]
        again.add(*entry(2, term=5))
        again.sync()
    with opened(tmp_path) as again:
        assert again[:] == [entry(1), entry(2, term=5)]


def test_a_vote_under_way_in_a_power_cut_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(file: int, offset: int, number: int, first: int, second: int, text: bytes) -> None:
        os.pwrite(file, b"x" * 20, offset)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path) as journal:
        journal.setCurrentTerm(7, VOTER)
        monkeypatch.setattr(journals, "_write_slot", torn)
        with pytest.raises(OSError, match="Input/output error"):
            journal.setCurrentTerm(8, None)
    monkeypatch.undo()
    with opened(tmp_path) as again:
        assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (7, VOTER)


@pytest.mark.parametrize("slot", journals._VOTE_SLOTS)
@pytest.mark.parametrize("terms", [(8,), (7, 8)])
def test_a_vote_that_was_told_outlives_what_damages_a_part_of_the_head(
    tmp_path: Path, slot: int, terms: tuple[int, ...]
) -> None:
    with opened(tmp_path) as journal:
        for term in terms:
            journal.setCurrentTerm(term, None)
        journal.setCurrentTerm(8, VOTER)
    damage(tmp_path / "journal", slot + 6)
    with opened(tmp_path) as again:
        assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (8, VOTER)


def test_deleted_entries_never_come_back(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        for index in (1, 2, 3, 4):
            journal.add(*entry(index))
        journal.sync()
        journal.deleteEntriesFrom(1)
        journal.add(*entry(2, term=2))
        journal.sync()
    with opened(tmp_path) as again:
        assert again[:] == [entry(1), entry(2, term=2)]


def test_records_of_deleted_entries_do_not_continue_the_log(tmp_path: Path) -> None:
    path = write(tmp_path, 1, 2, 3)
    data = path.read_bytes()
    with opened(tmp_path) as journal:
        journal.deleteEntriesFrom(1)
        journal.add(*entry(2, term=2))
        journal.sync()
    # As if the disk had never heard that the file was cut.
    third = RECORDS_START + 2 * RECORD_SIZE
    now = bytearray(path.read_bytes())
    now[third : third + RECORD_SIZE] = data[third : third + RECORD_SIZE]
    path.write_bytes(now)
    with opened(tmp_path) as again:
        assert again[:] == [entry(1), entry(2, term=2)]


def test_the_front_goes_when_a_snapshot_has_it(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        for index in (1, 2, 3, 4):
            journal.add(*entry(index))
        journal.setCurrentTerm(4, VOTER)
        journal.deleteEntriesTo(2)
        assert journal[:] == [entry(3), entry(4)]
        journal.add(*entry(5))
        journal.sync()
    with opened(tmp_path) as again:
        assert again[:] == [entry(3), entry(4), entry(5)]
        assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (4, VOTER)


def test_a_crash_before_the_front_went_loses_nothing(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3, 4, 5)
    with opened(tmp_path) as journal:
        journal.begin_at(entry(2), entry(3))
        assert journal[:] == [entry(2), entry(3), entry(4), entry(5)]
        journal.begin_at(entry(2), entry(3))
        journal.begin_at(entry(7), entry(8))
        assert len(journal) == 4


def test_clear_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)
    with opened(tmp_path) as journal:
        journal.clear()
        journal.add(*entry(7))
        journal.sync()
    with opened(tmp_path) as again:
        assert again[:] == [entry(7)]


def test_entries_out_of_order_are_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedData, match="do not follow each other"):
        DurableJournal(write(tmp_path, 1, 3))


def fill_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the disk be full from now on; returns what makes room again."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    allocate = os.posix_fallocate
    monkeypatch.setattr(os, "posix_fallocate", full)
    return lambda: monkeypatch.setattr(os, "posix_fallocate", allocate)


def test_a_full_disk_has_no_room_until_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as journal:
        make_room = fill_up(monkeypatch)
        assert not journal.has_room(2**20)
        # What a manager needs to take office is there all the same.
        journal.add(*entry(1))
        journal.setCurrentTerm(2, VOTER)
        journal.sync()
        make_room()
        assert journal.has_room(2**20)


def test_a_full_disk_keeps_the_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1, 2, 3)
    with opened(tmp_path) as journal:
        fill_up(monkeypatch)
        journal.deleteEntriesTo(1)
        assert journal[:] == [entry(1), entry(2), entry(3)]


def test_a_failed_sync_is_never_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path) as journal:
        journal.add(*entry(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fails)
            with pytest.raises(OSError, match="Input/output error"):
                journal.sync()
        for action in (journal.sync, lambda: journal.add(*entry(2)), lambda: journal.setCurrentTerm(5, None)):
            with pytest.raises(OSError, match=r"the journal .* failed: Input/output error"):
                action()


def test_a_vote_that_could_not_be_written_is_not_taken_for_one_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path) as journal:
        journal.setCurrentTerm(4, None)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", fails)
            for _ in range(2):
                with pytest.raises(OSError, match="Input/output error"):
                    journal.setCurrentTerm(5, VOTER)
        assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (4, None)
        journal.setCurrentTerm(5, VOTER)
    with opened(tmp_path) as journal:
        assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (5, VOTER)
