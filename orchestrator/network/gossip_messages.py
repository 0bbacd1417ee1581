"""Gossip on the wire: one datagram, sealed with AES-256-GCM under a key of the cluster.

    version (1 byte), tag of the cluster (4), tag of the key (4), nonce (12), ciphertext and GCM tag (16)

The head is authenticated, and so is the id of whom the datagram is for, which is not sent: what is recorded on the way
to one node says nothing to another. Tags only sort; who may speak is decided by the key. Keys and tags are derived by
HKDF (RFC 5869). Nonces are random: one key seals some 2**30 datagrams in the 12 hours of even a thousand nodes, and GCM
allows 2**32 (NIST SP 800-38D, section 8.3).
"""

from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from orchestrator.model.gossip import Keyring
from orchestrator.network.gossip_message_rules import MAX_UPDATES, Message

MAX_DATAGRAM_BYTES = 1400
"""Fits into a frame of the usual 1500 bytes. A message with all the updates it may have is well below."""
NONCE_BYTES = 12
_VERSION = b"\x01"
_TAG_BYTES = 4
_KEY_BYTES = 32
_HEAD_BYTES = len(_VERSION) + 2 * _TAG_BYTES
_LEAST_BYTES = _HEAD_BYTES + NONCE_BYTES + 16

_decoder = msgspec.msgpack.Decoder(Message)


class Refused(Exception):
    """The datagram is not from a member of this cluster to this node; `str(error)` is why, from a short list."""


@dataclass(frozen=True, slots=True)
class _Key:
    tag: bytes
    cipher: AESGCM


class Sealer:
    """Seals and opens datagrams with the keys of one keyring. One without keys opens nothing and must not seal."""

    def __init__(self, keyring: Keyring) -> None:
        self._cluster_tag = _derive(keyring.cluster_id, b"gossip cluster", _TAG_BYTES) if keyring.cluster_id else b""
        self._keys = [_key(secret) for secret in keyring.secrets]

    def seal(self, message: Message, to: str, nonce: bytes) -> bytes:
        """The datagram that carries the message to that node. `nonce` is random."""
        key = self._keys[0]
        head = _VERSION + self._cluster_tag + key.tag
        return head + nonce + key.cipher.encrypt(nonce, msgspec.msgpack.encode(message), head + to.encode())

    def open(self, datagram: bytes, to: str) -> Message:
        """The message that was sealed for that node. Raises `Refused`."""
        if len(datagram) > MAX_DATAGRAM_BYTES:
            raise Refused("oversize")
        if len(datagram) < _LEAST_BYTES or not datagram.startswith(_VERSION):
            raise Refused("garbage")
        head, rest = datagram[:_HEAD_BYTES], datagram[_HEAD_BYTES:]
        if head[1 : 1 + _TAG_BYTES] != self._cluster_tag:
            raise Refused("foreign cluster")
        for key in self._keys:
            if head.endswith(key.tag):
                return _open(key, head, rest, to)
        raise Refused("unknown key")


def _open(key: _Key, head: bytes, rest: bytes, to: str) -> Message:
    try:
        plain = key.cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], head + to.encode())
    except InvalidTag:
        raise Refused("forged") from None
    try:
        message = _decoder.decode(plain)
    except msgspec.MsgspecError:
        raise Refused("malformed") from None
    if len(message.updates) > MAX_UPDATES:
        raise Refused("malformed")
    return message


def _key(secret: str) -> _Key:
    return _Key(_derive(secret, b"gossip key tag", _TAG_BYTES), AESGCM(_derive(secret, b"gossip key", _KEY_BYTES)))


def _derive(secret: str, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=purpose).derive(secret.encode())
