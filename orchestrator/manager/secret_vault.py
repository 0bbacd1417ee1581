"""Secrets as ciphertext: sealed before they are proposed, opened only for a node that is to run a task with them.

AES-256-GCM under one data key of the cluster. The key is made when the cluster is founded and handed to each manager
as it joins; it lies beside the manager's certificate and never in the Raft journal or a snapshot. So a copy of those
files, or of a worker's disk, holds no secret.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator import identity
from orchestrator.model.errors import Unavailable

NONCE_BYTES = 12
"""What GCM is defined for (NIST SP 800-38D); random ones stay safe for 2**32 secrets."""


def new_key() -> str:
    """A fresh data key, in hex."""
    return AESGCM.generate_key(bit_length=256).hex()


class AesGcmVault:
    """`interfaces.SecretVault` under one data key."""

    def __init__(self, key: str) -> None:
        self._cipher = AESGCM(bytes.fromhex(key))

    def seal(self, secret_id: str, payload: bytes) -> bytes:
        """Nonce and ciphertext. The id is authenticated too, so that nobody can pass one secret off as another."""
        nonce = identity.random_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, payload, secret_id.encode())

    def open(self, secret_id: str, sealed: bytes) -> bytes:
        """The payload. Raises `Unavailable` when it was sealed under another key or for another secret."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], secret_id.encode())
        except InvalidTag as error:
            raise Unavailable(f"secret {secret_id} cannot be decrypted with this manager's key") from error
