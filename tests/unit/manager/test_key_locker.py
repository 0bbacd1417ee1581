"""A manager's keys on its disk, under an unlock key."""

import re
from pathlib import Path

import pytest

from orchestrator.manager.key_locker import KeyLocker, new_unlock_key
from orchestrator.model.errors import InvalidArgument, WrongKey

KEY = new_unlock_key()


def locker(tmp_path: Path) -> KeyLocker:
    """As it is after a restart."""
    return KeyLocker(tmp_path / "swarm" / "lock")


def test_an_unlock_key_has_swarm_modes_form() -> None:
    assert re.fullmatch(r"SWMKEY-1-[A-Za-z0-9+/]{43}", KEY)
    assert new_unlock_key() != KEY


def test_without_a_lock_everything_is_as_it_is(tmp_path: Path) -> None:
    first = locker(tmp_path)
    assert not first.is_locked
    assert first.open(first.seal("secret")) == "secret"


def test_what_is_sealed_opens_after_a_restart_with_the_key_alone(tmp_path: Path) -> None:
    first = locker(tmp_path)
    first.lock_with(KEY)
    sealed = first.seal("secret")
    assert "secret" not in sealed
    assert not first.is_locked
    again = locker(tmp_path)
    assert again.is_locked
    with pytest.raises(ValueError, match="locked"):
        again.open(sealed)
    with pytest.raises(WrongKey, match=r"^swarm could not be unlocked: invalid key provided$"):
        again.unlock(new_unlock_key())
    assert again.is_locked
    again.unlock(KEY)
    assert (again.is_locked, again.unlock_key, again.open(sealed)) == (False, KEY, "secret")


def test_another_unlock_key_opens_what_was_sealed_before(tmp_path: Path) -> None:
    first = locker(tmp_path)
    first.lock_with(KEY)
    sealed = first.seal("secret")
    other = new_unlock_key()
    first.lock_with(other)
    again = locker(tmp_path)
    with pytest.raises(WrongKey):
        again.unlock(KEY)
    again.unlock(other)
    assert again.open(sealed) == "secret"


def test_a_crash_on_the_way_to_no_lock_loses_nothing(tmp_path: Path) -> None:
    first = locker(tmp_path)
    first.lock_with(KEY)
    sealed = first.seal("one")
    first.stop_sealing()
    assert first.seal("two") == "two"
    # Some is in clear and some is not, and the lock is there: the key opens both.
    again = locker(tmp_path)
    again.unlock(KEY)
    assert (again.open(sealed), again.open("two")) == ("one", "two")
    again.remove()
    assert not locker(tmp_path).is_locked


@pytest.mark.parametrize(
    "key",
    ["", "x", "SWMKEY-1-", "SWMKEY-1-" + "A" * 42, "SWMKEY-1-" + "!" * 43, KEY[9:], KEY + "A"],
    ids=["nothing", "a letter", "the prefix alone", "too short", "not base64", "no prefix", "too long"],
)
def test_what_is_no_key_is_refused(tmp_path: Path, key: str) -> None:
    first = locker(tmp_path)
    first.lock_with(KEY)
    with pytest.raises(InvalidArgument, match=r"^invalid key string$"):
        locker(tmp_path).unlock(key)


def test_the_lock_is_the_owner_s_alone_and_damage_is_noticed(tmp_path: Path) -> None:
    first = locker(tmp_path)
    first.lock_with(KEY)
    path = tmp_path / "swarm" / "lock"
    assert path.stat().st_mode & 0o777 == 0o600
    sealed = first.seal("secret")
    with pytest.raises(ValueError, match="damaged"):
        first.open(sealed[:-4] + "AAA=")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WrongKey):
        locker(tmp_path).unlock(KEY)
