"""What one manager's store keeps in its directory: journal, snapshot, and the list of the other managers."""

import logging
from pathlib import Path

from orchestrator.raft import snapshots
from orchestrator.raft.journal import DamagedData, DurableJournal

logger = logging.getLogger(__name__)


class StoreFiles:
    """The files of one directory, used by one store."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept_changes = -1
        self._unkept: tuple[str, ...] | None = None
        self.members: tuple[str, ...] | None = None
        """The other managers as the list names them; None before the first `keep_members`."""

    @property
    def dump(self) -> Path:
        """Where the snapshot lies."""
        return self._directory / "dump"

    @property
    def _members_path(self) -> Path:
        return self._directory / "members.json"

    def open(self) -> tuple[DurableJournal, tuple[str, ...] | None]:
        """The journal, and the other managers of an earlier run: None when this manager was none before.

        Raises `DamagedData` when what an earlier run left is not usable, `OSError` when the directory is not.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = snapshots.read_members(self._members_path)
        path = self._directory / "journal"
        if known is None:
            # Of a start that was cut short before this manager belonged to anything.
            path.unlink(missing_ok=True)
            self.dump.unlink(missing_ok=True)
            return DurableJournal(path), None
        if not path.exists():
            raise DamagedData(f"the journal {path} is missing")
        return snapshots.open_journal(path, self.dump), known

    def keep_members(self, members: tuple[str, ...], changes: int) -> None:
        """Write the list if it is another one; `changes` counts what may have made it so."""
        if changes == self._kept_changes:
            return
        if members != self.members:
            try:
                snapshots.write_members(self._members_path, members)
            except OSError as error:
                # The journal has it too; here it is tried again in every tick.
                if self._unkept != members:
                    self._unkept = members
                    logger.error("the list of managers cannot be written: %s", error)
                return
            self.members = members
        self._kept_changes = changes
