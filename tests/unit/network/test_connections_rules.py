"""Socket tables as the kernel prints them."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from orchestrator.network.connections_rules import (
    SocketState,
    TcpSocket,
    accepts_on,
    count_under_way,
    listening_ports,
    parse_sockets,
)

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
REST = " 00000000:00000000 00:00000000 00000000     0        0 23042 1 0000000000000000 100 0 0 10 0"
ANY = "00000000:0000"
TASK = "0B01000A"
CLIENT = "0201000A"
LISTEN_80 = f"00000000:0050 {ANY} 0A"
WILDCARD_6 = f"{'0' * 32}:0050 {'0' * 32}:0000 0A"


def table(*sockets: str) -> list[TcpSocket]:
    return parse_sockets(HEADER + "".join(f"   {number}: {line}{REST}\n" for number, line in enumerate(sockets)))


def test_a_line_is_read_with_its_byte_order() -> None:
    assert table(f"{TASK}:0050 {CLIENT}:C9F8 01") == [
        TcpSocket(IPv4Address("10.0.1.11"), 80, IPv4Address("10.0.1.2"), SocketState.ESTABLISHED)
    ]


def test_ipv4_in_an_ipv6_table_is_ipv4() -> None:
    mapped = f"0000000000000000FFFF0000{TASK}:0050 0000000000000000FFFF0000{CLIENT}:C9F8 01"
    assert table(mapped) == table(f"{TASK}:0050 {CLIENT}:C9F8 01")


def test_other_ipv6_addresses_stay_what_they_are() -> None:
    assert table(f"B80D0120000000000000000001000000:0050 {'0' * 32}:0000 0A")[0].local_address == IPv6Address(
        "2001:db8::1"
    )


@pytest.mark.parametrize(
    ("line", "accepts"),
    [
        (LISTEN_80, True),
        (WILDCARD_6, True),
        (f"{TASK}:0050 {ANY} 0A", True),
        (f"0100007F:0050 {ANY} 0A", False),
        (f"00000000000000000000000001000000:0050 {'0' * 32}:0000 0A", False),
        (f"00000000:0051 {ANY} 0A", False),
        (f"{TASK}:0050 {CLIENT}:C9F8 01", False),
    ],
)
def test_a_port_accepts_when_other_hosts_reach_a_listener(line: str, accepts: bool) -> None:
    assert accepts_on(table(line), 80) is accepts


@pytest.mark.parametrize(
    ("line", "accepts"),
    [(LISTEN_80, True), (f"0100007F:0050 {ANY} 0A", False), (f"{TASK}:0050 {CLIENT}:C9F8 01", False)],
)
def test_any_port_will_do_when_none_is_named(line: str, accepts: bool) -> None:
    assert accepts_on(table(line), None) is accepts


@pytest.mark.parametrize(
    ("state", "count"),
    [
        (SocketState.ESTABLISHED, 1),
        (SocketState.SYN_RECV, 1),
        (SocketState.CLOSE_WAIT, 1),
        (SocketState.FIN_WAIT1, 1),
        (SocketState.LAST_ACK, 1),
        (SocketState.CLOSING, 1),
        (SocketState.FIN_WAIT2, 0),
        (SocketState.TIME_WAIT, 0),
        (SocketState.SYN_SENT, 0),
    ],
)
def test_a_connection_counts_while_its_answer_may_be_under_way(state: SocketState, count: int) -> None:
    assert count_under_way(table(LISTEN_80, f"{TASK}:0050 {CLIENT}:C9F8 {state:02X}")) == count


def test_calls_that_the_task_makes_itself_do_not_count() -> None:
    assert count_under_way(table(LISTEN_80, f"{TASK}:C9F8 {CLIENT}:0050 01")) == 0


@pytest.mark.parametrize("line", ["0100007F:0050 0100007F:C9F8 01", f"{TASK}:0050 {TASK}:C9F8 01"])
def test_connections_within_the_namespace_do_not_count(line: str) -> None:
    assert count_under_way(table(LISTEN_80, line)) == 0


def test_a_server_that_closed_its_door_is_remembered_by_its_port() -> None:
    sockets = table(f"{TASK}:0050 {CLIENT}:C9F8 01")
    assert count_under_way(sockets) == 0
    assert count_under_way(sockets, [80]) == 1


def test_listening_ports_are_sorted_and_single() -> None:
    assert listening_ports(table(f"00000000:0051 {ANY} 0A", LISTEN_80, WILDCARD_6)) == [80, 81]
