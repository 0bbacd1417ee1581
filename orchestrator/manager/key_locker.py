"""Keeps a manager's keys on its disk in ciphertext, so that a copy of the disk, or a thief's restart, opens nothing.

The keys are sealed under a key of this node's own, and that under the cluster's unlock key, in one small file: so a new
unlock key is one atomic write. While that file is there the keys are of no use until somebody gives the unlock key,
which looks as swarmkit's does (`manager/encryption/encryption.go`).
"""

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator import identity
from orchestrator.model.errors import InvalidArgument, WrongKey

KEY_BYTES = 32
MALFORMED = "invalid key string"
"""swarmkit's text."""
_PREFIX = "SWMKEY-1-"
_SEALED = "SEALED-1-"
_NONCE_BYTES = 12


def new_unlock_key() -> str:
    """A fresh unlock key: SWMKEY-1- and 43 characters of base64, unpadded."""
    return _PREFIX + base64.b64encode(identity.random_bytes(KEY_BYTES)).decode().rstrip("=")


def _bytes_of(unlock_key: str) -> bytes:
    text = unlock_key.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(MALFORMED) from error
    if text == unlock_key or len(key) != KEY_BYTES:
        raise InvalidArgument(MALFORMED)
    return key


class KeyLocker:
    """One node's; every method that writes raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own_key: bytes | None = None
        self._seals = True
        self.unlock_key = ""
        """What the file is sealed under; "" while there is none, or while it is locked."""

    @property
    def is_locked(self) -> bool:
        """Whether the unlock key has yet to be given."""
        return self._own_key is None and self._path.exists()

    def unlock(self, unlock_key: str) -> None:
        """Open the file. Raises `InvalidArgument` for what is no key, `WrongKey` for another one."""
        sealed = self._path.read_bytes()
        try:
            self._own_key = AESGCM(_bytes_of(unlock_key)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag as error:
            raise WrongKey from error
        self.unlock_key = unlock_key

    def lock_with(self, unlock_key: str) -> None:
        """From the next restart on this key is needed. What is kept must be sealed anew if there was no lock before."""
        if self._own_key is None:
            self._own_key = identity.random_bytes(KEY_BYTES)
        nonce = identity.random_bytes(_NONCE_BYTES)
        self._write(nonce + AESGCM(_bytes_of(unlock_key)).encrypt(nonce, self._own_key, None))
        self.unlock_key = unlock_key
        self._seals = True

    def stop_sealing(self) -> None:
        """Write what is kept in clear from now on; the lock stays until `remove`."""
        self._seals = False

    def relock(self) -> None:
        """As if nobody had given the key."""
        self._own_key = None
        self.unlock_key = ""

    def remove(self) -> None:
        """No key is needed any more."""
        self._own_key = None
        self._seals = True
        self.unlock_key = ""
        self._path.unlink(missing_ok=True)

    def seal(self, text: str) -> str:
        """The text as it is to be written: itself while there is no lock."""
        if self._own_key is None or not self._seals or not text:
            return text
        nonce = identity.random_bytes(_NONCE_BYTES)
        sealed = nonce + AESGCM(self._own_key).encrypt(nonce, text.encode(), None)
        return _SEALED + base64.b64encode(sealed).decode()

    def open(self, text: str) -> str:
        """What was written. Raises `ValueError` when it is damaged."""
        if not text.startswith(_SEALED):
            return text
        sealed = base64.b64decode(text.removeprefix(_SEALED))
        if self._own_key is None:
            raise ValueError("the keys of this node are locked")
        try:
            return AESGCM(self._own_key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None).decode()
        except InvalidTag as error:
            raise ValueError("the sealed keys of this node are damaged") from error

    def _write(self, data: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
