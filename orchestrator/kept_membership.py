"""What a member keeps on its disk: its certificate and key, and what it must remember beside them.

A manager's keys are kept sealed while the cluster locks its managers (`manager/key_locker.py`).
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from orchestrator.manager.authority import NodeIdentity
from orchestrator.manager.key_locker import KeyLocker
from orchestrator.model.node import MANAGEMENT_PORT
from orchestrator.raft.snapshots import write_atomically


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a member must remember beside its certificate, kept in `membership.json`."""

    address: str
    managers: tuple[str, ...]
    """"address:port" of all managers as last heard."""
    raft_key: str = ""
    secrets_key: str = ""
    """Managers only: see `manager/secret_vault.py`."""
    raft_peers: tuple[str, ...] = ()
    term: int = 0
    """The highest number of an election whose leader this node has obeyed: orders of an earlier one's are refused."""
    management_port: int = MANAGEMENT_PORT
    """Where this node listens for the others while it is a manager."""

    @property
    def management_address(self) -> str:
        """ "address:port" of this node as a manager."""
        return f"{self.address}:{self.management_port}"


class KeptMembership:
    """One node's files; every method that writes raises `OSError`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._locker = KeyLocker(directory / "lock")

    @property
    def exists(self) -> bool:
        """Whether the node is a member."""
        return self._membership_path.exists()

    @property
    def is_locked(self) -> bool:
        """Whether the unlock key has yet to be given."""
        return self._locker.is_locked

    def save(self, own: NodeIdentity, membership: Remembered) -> None:
        """Keep both."""
        sealed = replace(own, key_pem=self._locker.seal(own.key_pem))
        sealed.save(self._directory / "certificates")
        self.save_remembered(membership)

    def save_remembered(self, membership: Remembered) -> None:
        """Keep what changes without the certificate; a crash leaves the old or the new."""
        sealed = replace(
            membership,
            raft_key=self._locker.seal(membership.raft_key),
            secrets_key=self._locker.seal(membership.secrets_key),
        )
        path = self._membership_path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(sealed))

    def load(self) -> tuple[NodeIdentity, Remembered]:
        """What was kept. Raises `OSError` when there is nothing, `ValueError` when it is damaged or locked."""
        own, membership = self.load_sealed()
        return replace(own, key_pem=self._locker.open(own.key_pem)), replace(
            membership,
            raft_key=self._locker.open(membership.raft_key),
            secrets_key=self._locker.open(membership.secrets_key),
        )

    def load_sealed(self) -> tuple[NodeIdentity, Remembered]:
        """As `load`, the keys as they lie there."""
        membership = msgspec.json.decode(self._membership_path.read_bytes(), type=Remembered)
        return NodeIdentity.load(self._directory / "certificates"), membership

    def unlock(self, unlock_key: str) -> None:
        """Let `load` open the keys. Raises `InvalidArgument` for what is no key, `WrongKey` for another one."""
        self._locker.unlock(unlock_key)

    def relock(self) -> None:
        """As if nobody had given the key."""
        self._locker.relock()

    def lock_as(self, unlock_key: str, own: NodeIdentity, membership: Remembered) -> bool:
        """Seal the keys under this unlock key, or leave them in clear if it is ""; returns whether that is news."""
        if unlock_key == self._locker.unlock_key:
            return False
        if unlock_key:
            before = self._locker.unlock_key
            self._locker.lock_with(unlock_key)
            if not before:
                self.save(own, membership)
        else:
            # In clear before the lock is gone: a crash between the two leaves what the key still opens.
            self._locker.stop_sealing()
            self.save(own, membership)
            self._locker.remove()
        return True

    def forget(self) -> None:
        """Erase everything."""
        self._locker.remove()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _membership_path(self) -> Path:
        return self._directory / "membership.json"
