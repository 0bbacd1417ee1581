"""Which tracked connections hold a withdrawn task."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.network.flow_rules import (
    PROTOCOL_TCP,
    UDP_ANSWER_WAIT_S,
    Fate,
    Flow,
    TcpState,
    covering_mark,
    fate_of_lingering,
    fate_of_withdrawn,
)

TCP = Flow(PROTOCOL_TCP, "10.0.1.11", TcpState.ESTABLISHED, True, False, b"tuple", 1)
UDP = Flow(17, "10.0.1.11", 0, False, False, b"tuple", 1)


@pytest.mark.parametrize(
    ("state", "fate"),
    [
        (TcpState.SYN_SENT, Fate.OPEN),
        (TcpState.SYN_RECV, Fate.OPEN),
        (TcpState.ESTABLISHED, Fate.OPEN),
        (TcpState.FIN_WAIT, Fate.OPEN),
        (TcpState.CLOSE_WAIT, Fate.OPEN),
        (TcpState.LAST_ACK, Fate.OPEN),
        (TcpState.SYN_SENT2, Fate.OPEN),
        (TcpState.TIME_WAIT, Fate.LEAVE),
        (TcpState.CLOSE, Fate.FORGET),
    ],
)
def test_a_connection_is_open_until_both_sides_ended_it(state: TcpState, fate: Fate) -> None:
    assert fate_of_withdrawn(replace(TCP, state=state), 0.0) is fate


def test_a_client_that_keeps_an_answered_connection_holds_nothing() -> None:
    closed_by_server = replace(TCP, state=TcpState.CLOSE_WAIT, server_closed_first=True)
    assert fate_of_withdrawn(closed_by_server, 0.0) is Fate.WATCH
    assert fate_of_withdrawn(replace(closed_by_server, state=TcpState.FIN_WAIT), 0.0) is Fate.OPEN


def test_a_datagram_has_some_seconds_for_its_answer() -> None:
    assert fate_of_withdrawn(UDP, 0.0) is Fate.OPEN
    assert fate_of_withdrawn(UDP, UDP_ANSWER_WAIT_S) is Fate.FORGET
    assert fate_of_withdrawn(replace(UDP, is_answered=True), 0.0) is Fate.FORGET


def test_a_client_that_still_connects_to_a_lingering_endpoint_is_balanced_afresh() -> None:
    assert fate_of_lingering(replace(TCP, state=TcpState.SYN_SENT)) is Fate.FORGET
    assert fate_of_lingering(TCP) is Fate.LEAVE
    assert fate_of_lingering(UDP) is Fate.FORGET


@given(st.lists(st.integers(0, 0xFFFFFFFF), min_size=1))
def test_a_covering_mark_selects_all_marks(marks: list[int]) -> None:
    mark, mask = covering_mark(marks)
    assert all(other & mask == mark for other in marks)


def test_a_single_mark_covers_itself_alone() -> None:
    assert covering_mark([0x5300010B]) == (0x5300010B, 0xFFFFFFFF)
