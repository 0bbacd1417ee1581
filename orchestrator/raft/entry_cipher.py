"""The log and its snapshots as ciphertext: the journal of a manager whose keys are locked tells nothing.

AES-256-GCM under a key derived from the one under which secrets are sealed, which all managers have and none writes
into the log.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from orchestrator import identity

NONCE_BYTES = 12


class EntryCipher:
    """Seals entries and snapshots under one cluster's key, in hex."""

    def __init__(self, key: str) -> None:
        derived = HKDF(hashes.SHA256(), length=32, salt=None, info=b"raft log").derive(bytes.fromhex(key))
        self._cipher = AESGCM(derived)

    def seal(self, data: bytes) -> bytes:
        """As it is to be written."""
        nonce = identity.random_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, None)

    def open(self, sealed: bytes) -> bytes:
        """What was sealed. Raises `ValueError` when it was sealed under another key, or is damaged."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except InvalidTag as error:
            raise ValueError("the log of this manager cannot be read with its key") from error


class NoCipher:
    """Leaves everything as it is: for the simulation."""

    def seal(self, data: bytes) -> bytes:
        """The same."""
        return data

    def open(self, sealed: bytes) -> bytes:
        """The same."""
        return sealed
