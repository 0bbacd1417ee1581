"""One manager goes on without the others, who are lost for good: `docker swarm init --force-new-cluster`.

Follows etcd's `--force-new-cluster`: the log stays, with every change of the managers struck out, and the list of
managers is emptied. Entries not known to be committed stay too: the lost majority may have acknowledged them.
"""

from pathlib import Path

from pysyncobj.syncobj import _COMMAND_TYPE

from orchestrator.raft import snapshots
from orchestrator.raft.journal import DurableJournal, LogEntry

TERM_LEAP = 1_000_000
"""Added to the term, so that nodes refuse whatever managers of the abandoned cluster may still elect among them."""
REVISION_LEAP = 1_000_000
"""Added to the state's revisions: the lost managers may have made some that nodes have seen and this one has not."""

_NO_OP = bytes([_COMMAND_TYPE.NO_OP])
_MEMBERSHIP = bytes([_COMMAND_TYPE.MEMBERSHIP])


def stand_alone(directory: Path) -> None:
    """Rewrite a closed store's files so that it starts as the only manager.

    A crash leaves the store as it was, or alone. Raises `DamagedData` and `OSError`.
    """
    dump = directory / "dump"
    # PySyncObj compares the entries that end the snapshot with the log's first, and applies only what comes after them.
    settled = snapshots.read_dump(dump).last_entry[1] if dump.exists() else 0
    journal = DurableJournal(directory / "journal")
    try:
        journal.rewrite([entry if entry[1] <= settled else _without_membership(entry) for entry in journal[:]])
        journal.setCurrentTerm(journal.getCurrentTerm() + TERM_LEAP, None)
    finally:
        journal._destroy()
    snapshots.write_members(directory / "members.json", ())


def _without_membership(entry: LogEntry) -> LogEntry:
    command, index, term = entry
    return (_NO_OP if command.startswith(_MEMBERSHIP) else command, index, term)
