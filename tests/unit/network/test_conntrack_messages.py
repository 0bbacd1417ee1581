"""Messages of the kernel, byte by byte (captured on Linux 6.18)."""

import struct

from orchestrator.network.conntrack_messages import (
    MESSAGE_DONE,
    delete_request,
    error_number,
    get_request,
    list_request,
    parse_flow,
    split_messages,
)
from orchestrator.network.flow_rules import Flow, TcpState

ENTRY = bytes.fromhex(
    "020000003400018014000180080001000a630064080002000a6300011c000280050001000600000006000200c9f80000060003001f900000"
    "3400028014000180080001000a00010b080002000a0001021c0002800500010006000000060002000050000006000300c9f80000"
    "08000300000001be080008005300010b08000c0031d2c58d08000b00000000010800070000000077300004802c0001800500010004000000"
    "050002000a000000050003000a00000006000400230000000600050037000000"
)
TUPLE = bytes.fromhex(
    "14000180080001000a630064080002000a6300011c000280050001000600000006000200c9f80000060003001f900000"
)
FLOW = Flow(
    protocol=6,
    endpoint="10.0.1.11",
    state=TcpState.FIN_WAIT,
    is_answered=True,
    server_closed_first=True,
    original_tuple=TUPLE,
    identity=0x31D2C58D,
)


def test_an_entry_is_read() -> None:
    assert parse_flow(ENTRY) == FLOW


def test_an_entry_without_protocol_information_is_read() -> None:
    without = ENTRY[: ENTRY.index(bytes.fromhex("30000480"))]
    assert parse_flow(without).state == 0


def test_an_entry_is_named_by_its_tuple_and_its_id() -> None:
    message = delete_request(FLOW)
    assert len(message) == struct.unpack_from("=I", message)[0]
    assert struct.unpack_from("=H", message, 4)[0] == 0x102
    assert message[20:] == struct.pack("=HH", 52, 1) + TUPLE + struct.pack("=HH", 8, 12) + b"\x31\xd2\xc5\x8d"


def test_a_look_up_names_the_tuple_alone() -> None:
    message = get_request(FLOW)
    assert struct.unpack_from("=HH", message, 4) == (0x101, 0x001)
    assert message[20:] == struct.pack("=HH", 52, 1) + TUPLE


def test_a_list_is_narrowed_by_mark() -> None:
    message = list_request(0x53000000, 0xFF000000)
    assert struct.unpack_from("=HH", message, 4) == (0x101, 0x301)
    assert message[20:] == struct.pack("=HH", 8, 8) + b"S\0\0\0" + struct.pack("=HH", 8, 21) + b"\xff\0\0\0"


def test_one_receive_may_hold_several_messages() -> None:
    received = struct.pack("=IHHII", 16 + len(ENTRY), 256, 2, 1, 0) + ENTRY + struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
    (first, body), (last, _) = split_messages(received)
    assert (first, body) == (256, ENTRY)
    assert last == MESSAGE_DONE


def test_errors_are_positive_numbers() -> None:
    assert error_number(struct.pack("=i", -2)) == 2
    assert error_number(struct.pack("=i", 0)) == 0
