"""What a node accepts from the network: nothing but what a member sealed for it."""

import itertools
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.gossip import Keyring
from orchestrator.network.gossip_message_rules import MAX_UPDATES, Kind, Message, Standing, Update
from orchestrator.network.gossip_messages import MAX_DATAGRAM_BYTES, NONCE_BYTES, Refused, Sealer

NODE = "n" * 25
KEYS = Keyring("cluster", ("first", "second"))
MESSAGE = Message("m" * 25, 2**61, 2**40, Kind.PING, 3, 2**61, updates=(Update("x", Standing.DEAD, 1, "y"),))


def sealed(message: Message = MESSAGE, to: str = NODE, keyring: Keyring = KEYS) -> bytes:
    return Sealer(keyring).seal(message, to, os.urandom(NONCE_BYTES))


def refusal(datagram: bytes, keyring: Keyring = KEYS) -> str:
    with pytest.raises(Refused) as caught:
        Sealer(keyring).open(datagram, NODE)
    return str(caught.value)


def test_what_was_sealed_is_opened_and_cannot_be_read_on_the_way() -> None:
    datagram = sealed()
    assert Sealer(KEYS).open(datagram, NODE) == MESSAGE
    assert MESSAGE.sender.encode() not in datagram


def test_nodes_one_step_of_a_rotation_apart_understand_each_other() -> None:
    # As control/gossip_keys.py turns them: told, sealed with, told, sealed with.
    steps = [("a",), ("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")]
    rings = [Keyring("cluster", secrets) for secrets in steps]
    for earlier, later in itertools.pairwise(rings):
        assert Sealer(later).open(sealed(keyring=earlier), NODE) == MESSAGE
        assert Sealer(earlier).open(sealed(keyring=later), NODE) == MESSAGE


def test_other_keys_other_clusters_and_other_nodes_are_told_apart() -> None:
    assert refusal(sealed(keyring=Keyring("cluster", ("third",)))) == "unknown key"
    assert refusal(sealed(keyring=Keyring("elsewhere", KEYS.secrets))) == "foreign cluster"
    assert refusal(sealed(to="another")) == "forged"
    assert refusal(sealed(), Keyring()) == "foreign cluster"


def test_sizes_have_limits() -> None:
    assert refusal(bytes(MAX_DATAGRAM_BYTES + 1)) == "oversize"
    assert refusal(b"") == "garbage"
    assert refusal(b"\x02" + bytes(100)) == "garbage"
    most = tuple(Update("m" * 25, Standing.SUSPECT, 2**32, "b" * 25) for _ in range(MAX_UPDATES))
    full = Message("m" * 25, 2**62 - 1, 2**62, Kind.PING_REQUEST, 2**32, 2**62, "t" * 25, most)
    assert len(sealed(full)) < MAX_DATAGRAM_BYTES
    assert Sealer(KEYS).open(sealed(full), NODE) == full


@pytest.mark.parametrize("content", [b"", b"\xc1", msgspec.msgpack.encode({"sender": 1}), msgspec.msgpack.encode([1])])
def test_sealed_nonsense_is_malformed(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msgspec.msgpack.encode", lambda _: content)
    assert refusal(sealed()) == "malformed"


@given(st.integers(0, len(sealed()) * 8 - 1))
def test_no_bit_can_be_changed(bit: int) -> None:
    datagram = bytearray(sealed())
    datagram[bit // 8] ^= 1 << bit % 8
    assert refusal(bytes(datagram)) in ("garbage", "foreign cluster", "unknown key", "forged")


@given(st.binary(max_size=2000))
def test_garbage_is_refused(datagram: bytes) -> None:
    assert refusal(datagram) in ("garbage", "oversize", "foreign cluster")
