"""What a member keeps on its disk: its certificate and key, and what it must remember beside them.

A manager's keys are kept sealed while the cluster locks its managers (`manager/key_locker.py`).
"""

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from orchestrator.manager.authority import NodeIdentity
from orchestrator.manager.key_locker import KeyLocker
from orchestrator.model.node import MANAGEMENT_PORT
from orchestrator.raft.snapshots import write_atomically

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a member must remember beside its certificate."""

    address: str
    managers: tuple[str, ...]
    """"address:port" of all managers as last heard."""
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


@dataclass(frozen=True, slots=True)
class _Content:
    """Of `membership.json`: one file, for a manager's certificate without its keys would found a swarm of its own."""

    identity: NodeIdentity
    remembered: Remembered


class KeptMembership:
    """This node as a member, in memory and on its disk; every method that writes raises `OSError`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._locker = KeyLocker(directory / "lock")
        self.identity: NodeIdentity | None = None
        """None before `save` or `load`, and after `forget` or `relock`; so is `remembered`."""
        self.remembered: Remembered | None = None

    @property
    def pair(self) -> tuple[NodeIdentity, Remembered]:
        """Both, of a node that is known to be a member."""
        assert self.identity is not None
        assert self.remembered is not None
        return self.identity, self.remembered

    @property
    def exists(self) -> bool:
        """Whether the node is a member."""
        return self._path.exists()

    @property
    def is_locked(self) -> bool:
        """Whether the unlock key has yet to be given."""
        return self._locker.is_locked

    def save(self, own: NodeIdentity, membership: Remembered) -> None:
        """Keep both, in memory too when the disk has them; a crash leaves the old or the new."""
        self._write(own, membership)
        self.identity, self.remembered = own, membership

    def save_remembered(self, membership: Remembered) -> None:
        """Keep what changes without the certificate. In memory it is the new one also when the disk refuses it."""
        own, _ = self.pair
        self.remembered = membership
        self._write(own, membership)

    def remember_managers(self, managers: tuple[str, ...]) -> None:
        """The managers are others now."""
        if self.remembered is not None:
            self.save_remembered(replace(self.remembered, managers=managers))

    def remember_term(self, term: int) -> None:
        """A leader of this election has been obeyed. A disk that refuses is logged: the node must follow its leader."""
        if self.remembered is not None:
            try:
                self.save_remembered(replace(self.remembered, term=term))
            except OSError as error:
                logger.error("the leader's term cannot be kept: %s", error)

    def load(self) -> tuple[NodeIdentity, Remembered]:
        """What was kept. Raises `OSError` when there is nothing, `ValueError` when it is damaged or locked."""
        own, membership = self.load_sealed()
        opened = replace(membership, secrets_key=self._locker.open(membership.secrets_key))
        self.identity, self.remembered = replace(own, key_pem=self._locker.open(own.key_pem)), opened
        return self.pair

    def load_sealed(self) -> tuple[NodeIdentity, Remembered]:
        """As `load`, the keys as they lie there; nothing of it is kept in memory."""
        content = msgspec.json.decode(self._path.read_bytes(), type=_Content)
        return content.identity, content.remembered

    def unlock(self, unlock_key: str) -> None:
        """Let `load` open the keys. Raises `InvalidArgument` for what is no key, `WrongKey` for another one."""
        self._locker.unlock(unlock_key)

    def relock(self) -> None:
        """As if nobody had given the key."""
        self.identity = self.remembered = None
        self._locker.relock()

    def lock_as(self, unlock_key: str) -> bool:
        """Seal the keys under this unlock key, or leave them in clear if it is ""; returns whether that is news."""
        if unlock_key == self._locker.unlock_key:
            return False
        if unlock_key:
            before = self._locker.unlock_key
            self._locker.lock_with(unlock_key)
            if not before:
                self.save(*self.pair)
        else:
            # In clear before the lock is gone: a crash between the two leaves what the key still opens.
            self._locker.stop_sealing()
            self.save(*self.pair)
            self._locker.remove()
        return True

    def forget(self) -> None:
        """Erase everything."""
        self.identity = self.remembered = None
        self._locker.remove()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _path(self) -> Path:
        return self._directory / "membership.json"

    def _write(self, own: NodeIdentity, membership: Remembered) -> None:
        seal = self._locker.seal
        content = _Content(
            replace(own, key_pem=seal(own.key_pem)),
            replace(membership, secrets_key=seal(membership.secrets_key)),
        )
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._path, msgspec.json.encode(content))
