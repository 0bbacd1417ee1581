"""What a member's disk holds, in clear and locked."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from orchestrator import clock, kept_membership
from orchestrator.kept_membership import KeptMembership, Remembered
from orchestrator.manager import authority, secret_vault
from orchestrator.manager.key_locker import new_unlock_key
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import WrongKey
from orchestrator.model.node import NodeRole

CLUSTER = authority.found("c1", ClusterSpec(), clock.now())
OWN = authority.issue(CLUSTER, "n1", NodeRole.MANAGER, clock.now())
REMEMBERED = Remembered("10.1.0.1", ("10.1.0.1:2377",), secret_vault.new_key())
SECRETS = (OWN.key_pem.encode()[40:80], REMEMBERED.secrets_key.encode())
KEY = new_unlock_key()


def in_clear(directory: Path) -> set[bytes]:
    """Which of the secrets can be read from the disk."""
    texts = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    return {secret for secret in SECRETS for text in texts if secret in text}


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = KeptMembership(tmp_path / "swarm")
    assert not kept.exists
    kept.save(OWN, REMEMBERED)
    again = KeptMembership(tmp_path / "swarm")
    assert (again.exists, again.is_locked, again.load()) == (True, False, (OWN, REMEMBERED))
    assert [(file.name, file.stat().st_mode & 0o777) for file in (tmp_path / "swarm").iterdir()] == [
        ("membership.json", 0o600)
    ]
    assert (tmp_path / "swarm").stat().st_mode & 0o777 == 0o700
    again.forget()
    assert not (tmp_path / "swarm").exists()


def test_what_is_damaged_is_noticed(tmp_path: Path) -> None:
    kept = KeptMembership(tmp_path)
    kept.save(OWN, REMEMBERED)
    (tmp_path / "membership.json").write_text("{")
    with pytest.raises(ValueError, match="truncated"):
        KeptMembership(tmp_path).load()


def test_a_disk_that_is_full_leaves_the_member_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptMembership(tmp_path)
    kept.save(OWN, REMEMBERED)
    changed = replace(OWN, role=NodeRole.WORKER)
    monkeypatch.setattr(kept_membership, "write_atomically", Mock(side_effect=OSError("no space left on device")))
    with pytest.raises(OSError, match="no space"):
        kept.save(changed, REMEMBERED)
    # A term must be obeyed all the same, until the daemon is restarted.
    kept.remember_term(7)
    assert kept.pair == (OWN, replace(REMEMBERED, term=7))
    assert KeptMembership(tmp_path).load() == (OWN, REMEMBERED)


def test_locked_it_holds_no_key_and_opens_with_the_unlock_key(tmp_path: Path) -> None:
    kept = KeptMembership(tmp_path)
    kept.save(OWN, REMEMBERED)
    assert in_clear(tmp_path) == set(SECRETS)
    assert kept.lock_as(KEY)
    assert not kept.lock_as(KEY)
    assert in_clear(tmp_path) == set()
    # What changes afterwards is sealed as well.
    kept.save_remembered(REMEMBERED)
    assert in_clear(tmp_path) == set()
    again = KeptMembership(tmp_path)
    assert (again.exists, again.is_locked) == (True, True)
    with pytest.raises(ValueError, match="locked"):
        again.load()
    with pytest.raises(WrongKey):
        again.unlock(new_unlock_key())
    again.unlock(KEY)
    assert again.load() == (OWN, REMEMBERED)
    again.relock()
    assert again.is_locked


def test_the_key_changes_and_the_lock_goes(tmp_path: Path) -> None:
    kept, other = KeptMembership(tmp_path), new_unlock_key()
    kept.save(OWN, REMEMBERED)
    kept.lock_as(KEY)
    kept.lock_as(other)
    again = KeptMembership(tmp_path)
    with pytest.raises(WrongKey):
        again.unlock(KEY)
    again.unlock(other)
    again.load()
    again.lock_as("")
    assert in_clear(tmp_path) == set(SECRETS)
    assert not KeptMembership(tmp_path).is_locked


def test_a_disk_that_is_full_leaves_the_lock_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptMembership(tmp_path)
    kept.save(OWN, REMEMBERED)
    kept.lock_as(KEY)

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(KeptMembership, "save", fail)
        with pytest.raises(OSError, match="no space"):
            kept.lock_as("")
    assert not kept.is_locked
    assert KeptMembership(tmp_path).is_locked
    assert kept.lock_as("")
    assert not KeptMembership(tmp_path).is_locked
