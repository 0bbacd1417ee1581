"""Files of a manager: what was written comes back, what was damaged is noticed."""

from pathlib import Path

import pytest

from orchestrator.raft import snapshots
from orchestrator.raft.journal import DamagedData, DurableJournal
from orchestrator.raft.snapshots import Dump

DUMP = Dump(state=b"{}", last_entry=(b"b", 8, 2), entry_before=(b"a", 7, 2), members=("10.0.0.1:2378",))


def damage(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def test_dump_comes_back(tmp_path: Path) -> None:
    snapshots.write_dump(tmp_path / "dump", DUMP)
    assert snapshots.read_dump(tmp_path / "dump") == DUMP


@pytest.mark.parametrize("offset", [0, 12, 20, -1])
def test_damaged_dump_is_noticed(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "dump"
    snapshots.write_dump(path, DUMP)
    damage(path, offset)
    with pytest.raises(DamagedData, match=r"^the snapshot .* is damaged$"):
        snapshots.read_dump(path)


def test_short_dump_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(b"SWARM")
    with pytest.raises(DamagedData):
        snapshots.read_dump(path)


def test_members_come_back(tmp_path: Path) -> None:
    path = tmp_path / "members.json"
    assert snapshots.read_members(path) is None
    snapshots.write_members(path, ["10.0.0.2:2378"])
    assert snapshots.read_members(path) == ("10.0.0.2:2378",)
    path.write_text("[1")
    with pytest.raises(DamagedData, match="list of managers"):
        snapshots.read_members(path)


def test_a_log_whose_snapshot_is_missing_is_named(tmp_path: Path) -> None:
    path, dump = tmp_path / "journal", tmp_path / "dump"
    journal = DurableJournal(path)
    for index in (7, 8, 9):
        journal.add(b"x", index, 2)
    journal.sync()
    journal._destroy()
    with pytest.raises(DamagedData, match=r"the snapshot .* is missing: the journal begins at entry 7"):
        snapshots.open_journal(path, dump)
    snapshots.write_dump(dump, DUMP)
    opened = snapshots.open_journal(path, dump)
    assert len(opened) == 3
    opened._destroy()
