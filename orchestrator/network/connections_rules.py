"""Reads the kernel's socket tables (`/proc/<pid>/net/tcp` and `tcp6`) and says what they mean for a task's life.

Looking instead of probing: the service never sees a connection that no client made. Pure; the format is described in
the kernel's Documentation/networking/proc_net_tcp.rst.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address


class SocketState(IntEnum):
    """TCP states by the kernel's numbers (include/net/tcp_states.h)."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12


UNDER_WAY = frozenset(
    {
        SocketState.SYN_RECV,
        SocketState.NEW_SYN_RECV,
        SocketState.ESTABLISHED,
        # The client has said all it will say, and may still be waiting for the answer.
        SocketState.CLOSE_WAIT,
        # The server has closed, but its peer has not yet acknowledged the last byte of the answer.
        SocketState.FIN_WAIT1,
        SocketState.CLOSING,
        SocketState.LAST_ACK,
    }
)
"""States in which stopping the server could still cost its client an answer."""


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One line of a socket table."""

    local_address: Address
    local_port: int
    remote_address: Address
    state: SocketState


def parse_sockets(table: str) -> list[TcpSocket]:
    """The sockets of one `/proc/<pid>/net/tcp` or `tcp6`, as its text; the header line is skipped."""
    return [_parse_line(line) for line in table.splitlines()[1:] if line]


def accepts_on(sockets: Iterable[TcpSocket], port: int | None) -> bool:
    """Whether a socket listens on the port, None being any, where other hosts reach it: not only on the loopback."""
    return any(
        socket.state is SocketState.LISTEN
        and port in (None, socket.local_port)
        and isinstance(socket.local_address, IPv4Address)
        and not socket.local_address.is_loopback
        for socket in sockets
    )


def count_under_way(sockets: Sequence[TcpSocket], ports: Iterable[int] = ()) -> int:
    """Connections from other hosts to servers of the namespace whose answer may still be under way.

    A server is known by its port: one that is listened on now, or one of `ports`, which were listened on before.
    What runs between processes of the namespace itself does not count: it ends with the task in any case.
    """
    served = frozenset(listening_ports(sockets)).union(ports)
    return sum(
        socket.state in UNDER_WAY
        and socket.local_port in served
        and not socket.remote_address.is_loopback
        and socket.remote_address != socket.local_address
        for socket in sockets
    )


def listening_ports(sockets: Iterable[TcpSocket]) -> list[int]:
    """The ports that are listened on, sorted."""
    return sorted({socket.local_port for socket in sockets if socket.state is SocketState.LISTEN})


def _parse_line(line: str) -> TcpSocket:
    _, local, remote, state = line.split(maxsplit=4)[:4]
    local_address, _, local_port = local.partition(":")
    remote_address, _, _ = remote.partition(":")
    return TcpSocket(
        _parse_address(local_address), int(local_port, 16), _parse_address(remote_address), SocketState(int(state, 16))
    )


def _parse_address(text: str) -> Address:
    """An address of the table: 32-bit words, each in the byte order of the machine (here always little-endian).

    IPv4 in an IPv6 socket becomes plain IPv4; so does the IPv6 wildcard, since such a socket accepts IPv4 as well.
    """
    packed = b"".join(bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8))
    if len(packed) == 4:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(0) if address.is_unspecified else address
