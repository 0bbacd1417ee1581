"""Docker's multiplexed log stream."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.executor.log_rules import MAX_FRAME_BYTES, Demultiplexer


def frame(stream: int, data: bytes) -> bytes:
    """A frame as the engine sends it."""
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@given(
    frames=st.lists(st.tuples(st.integers(1, 2), st.binary(min_size=1, max_size=40)), max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_frames_come_back_however_the_bytes_arrive(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(*item) for item in frames)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    demultiplexer = Demultiplexer()
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert [item for piece in pieces for item in demultiplexer.feed(piece)] == frames


def test_an_empty_frame_is_nothing() -> None:
    assert list(Demultiplexer().feed(frame(1, b"") + frame(2, b"x"))) == [(2, b"x")]


def test_a_huge_frame_comes_in_pieces() -> None:
    data = b"y" * (MAX_FRAME_BYTES + 3)
    assert [len(payload) for _, payload in Demultiplexer().feed(frame(1, data))] == [MAX_FRAME_BYTES, 3]
