"""Pieces of logs become whole, marked, framed lines."""

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.log_stream import MAX_LINE_BYTES, LogFormat, LogStream, context_details
from orchestrator.model.session import LogFrame

FRAMED = LogFormat(multiplexed=True, details=False, timestamps=False)
RAW = LogFormat(multiplexed=False, details=False, timestamps=False)


def unframe(data: bytes) -> list[tuple[int, bytes]]:
    frames = []
    while data:
        stream, length = struct.unpack(">BxxxI", data[:8])
        frames.append((stream, data[8 : 8 + length]))
        data = data[8 + length :]
    return frames


def opened(log_format: LogFormat, details: str = "", *, annotated: bool = False) -> LogStream:
    stream = LogStream(log_format)
    stream.open(0, details, annotated=annotated)
    return stream


def test_what_the_log_driver_noted_joins_the_details() -> None:
    log_format = LogFormat(multiplexed=False, details=True, timestamps=True)
    stream = opened(log_format, "task=1", annotated=True)
    assert stream.feed(LogFrame(0, 1, "T a=b hello there\n")) == b"T task=1,a=b hello there\n"
    assert stream.feed(LogFrame(0, 1, "T  hello\n")) == b"T task=1 hello\n"


def test_one_frame_per_line_whatever_the_pieces() -> None:
    stream = opened(FRAMED)
    assert stream.feed(LogFrame(0, 1, "he")) == b""
    assert unframe(stream.feed(LogFrame(0, 1, "llo\nwor"))) == [(1, b"hello\n")]
    assert unframe(stream.feed(LogFrame(0, 2, "oops\n"))) == [(2, b"oops\n")]
    assert unframe(stream.feed(LogFrame(0, 1, "ld", end=True))) == [(1, b"world")]


def test_details_come_first_or_after_the_timestamp() -> None:
    details = context_details("n", "s", "t")
    assert details == "com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,com.docker.swarm.task.id=t"
    plain = opened(LogFormat(multiplexed=False, details=True, timestamps=False), details)
    assert plain.feed(LogFrame(0, 1, "a b\n")) == f"{details} a b\n".encode()
    stamped = opened(LogFormat(multiplexed=False, details=True, timestamps=True), details)
    assert (
        stamped.feed(LogFrame(0, 1, "2026-11-23T18:50:31Z a b\n")) == f"2026-11-23T18:50:31Z {details} a b\n".encode()
    )


def test_frames_of_an_unknown_request_are_dropped() -> None:
    assert opened(RAW).feed(LogFrame(7, 1, "x\n")) == b""


def test_an_endless_line_goes_out_in_pieces() -> None:
    stream = opened(FRAMED)
    (frame,) = unframe(stream.feed(LogFrame(0, 1, "x" * (MAX_LINE_BYTES + 5))))
    assert len(frame[1]) == MAX_LINE_BYTES


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_no_byte_is_lost_or_changed(data: bytes, cuts: list[int]) -> None:
    stream = opened(RAW)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    sent = b""
    for start, end in itertools.pairwise(edges):
        sent += stream.feed(LogFrame(0, 1, data[start:end].decode("latin-1")))
    assert sent + stream.feed(LogFrame(0, end=True)) == data
