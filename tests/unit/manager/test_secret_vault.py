"""What the vault seals only it opens."""

import pytest

from orchestrator.manager.secret_vault import AesGcmVault, new_key
from orchestrator.model.errors import Unavailable


def test_round_trip_and_never_the_same_twice() -> None:
    vault = AesGcmVault(new_key())
    sealed = vault.seal("id", b"payload")
    assert b"payload" not in sealed
    assert vault.seal("id", b"payload") != sealed
    assert vault.open("id", sealed) == b"payload"


@pytest.mark.parametrize("damage", ["key", "id", "bit", "length"])
def test_anything_else_is_refused(damage: str) -> None:
    vault = AesGcmVault(new_key())
    sealed = vault.seal("id", b"payload")
    if damage == "bit":
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    if damage == "length":
        sealed = sealed[:-1]
    opener = AesGcmVault(new_key()) if damage == "key" else vault
    with pytest.raises(Unavailable, match="cannot be decrypted"):
        opener.open("other" if damage == "id" else "id", sealed)
