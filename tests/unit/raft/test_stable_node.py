"""The hash that makes simulations repeat."""

from pysyncobj.node import TCPNode

from orchestrator.raft.stable_node import StableNode


def test_hash_is_the_same_in_every_process() -> None:
    assert hash(StableNode("10.0.0.1:2378")) == 3446287662


def test_equality_is_by_address() -> None:
    assert StableNode("10.0.0.1:2378") == StableNode("10.0.0.1:2378") == TCPNode("10.0.0.1:2378")
    assert StableNode("10.0.0.1:2378") != StableNode("10.0.0.2:2378")
    assert StableNode("10.0.0.1:2378") != "10.0.0.1:2378"
