"""The few netlink messages of connection tracking that `conntrack` needs, as bytes.

Written by hand because a node lists thousands of entries several times a second: pyroute2's decoder takes 150 us per
entry, this one 10. Layout: include/uapi/linux/netlink.h and netfilter/nfnetlink_conntrack.h. No I/O.
"""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

from orchestrator.network.flow_rules import Flow

NETLINK_NETFILTER = 12
MESSAGE_ERROR = 2
MESSAGE_DONE = 3

_SUBSYSTEM = 1 << 8
_GET = _SUBSYSTEM | 1
_DELETE = _SUBSYSTEM | 2
_FLAG_REQUEST = 0x001
_FLAG_ACK = 0x004
_FLAG_DUMP = 0x300
_FAMILY_IPV4 = 2
_TYPE_MASK = 0x3FFF
"""The two high bits of an attribute's type are flags: nested, and network byte order."""

_TUPLE_ORIGINAL = 1
_TUPLE_REPLY = 2
_STATUS = 3
_PROTOCOL_INFO = 4
_MARK = 8
_ID = 12
_MARK_MASK = 21
_TUPLE_IP = 1
_TUPLE_PROTOCOL = 2
_IP_SOURCE = 1
_PROTOCOL_NUMBER = 1
_INFO_TCP = 1
_TCP_STATE = 1
_TCP_FLAGS_REPLY = 5

_STATUS_SEEN_REPLY = 1 << 1
_TCP_FLAG_CLOSE_INIT = 0x04

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct(">I")
_ERROR = struct.Struct("=i")
_NETFILTER_HEADER = struct.pack(">BBH", _FAMILY_IPV4, 0, 0)

Attributes = dict[int, bytes]


def list_request(mark: int, mask: int) -> bytes:
    """Ask for all IPv4 entries whose connection mark, under the mask, is that one."""
    body = _attribute(_MARK, _NUMBER.pack(mark)) + _attribute(_MARK_MASK, _NUMBER.pack(mask))
    return _message(_GET, _FLAG_REQUEST | _FLAG_DUMP, body)


def get_request(flow: Flow) -> bytes:
    """Ask for the entry that has the flow's tuple now, which may be another one."""
    return _message(_GET, _FLAG_REQUEST, _attribute(_TUPLE_ORIGINAL, flow.original_tuple))


def delete_request(flow: Flow) -> bytes:
    """Delete this very entry: the kernel answers ENOENT when the tuple is another entry's by now."""
    body = _attribute(_TUPLE_ORIGINAL, flow.original_tuple) + _attribute(_ID, _NUMBER.pack(flow.identity))
    return _message(_DELETE, _FLAG_REQUEST | _FLAG_ACK, body)


def split_messages(received: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each message in what one `recv` gave."""
    position = 0
    while position + _HEADER.size <= len(received):
        length, kind, *_ = _HEADER.unpack_from(received, position)
        yield kind, received[position + _HEADER.size : position + length]
        position += _aligned(length)


def error_number(body: bytes) -> int:
    """The errno of an error message's body, positive; 0 is an acknowledgement."""
    number: int = _ERROR.unpack_from(body)[0]
    return -number


def parse_flow(body: bytes) -> Flow:
    """The entry that one message of a dump describes."""
    entry = _attributes(body[len(_NETFILTER_HEADER) :])
    original = _attributes(entry[_TUPLE_ORIGINAL])
    reply = _attributes(entry[_TUPLE_REPLY])
    tcp = _attributes(_attributes(entry.get(_PROTOCOL_INFO, b"")).get(_INFO_TCP, b""))
    return Flow(
        protocol=_attributes(original[_TUPLE_PROTOCOL])[_PROTOCOL_NUMBER][0],
        endpoint=str(IPv4Address(_attributes(reply[_TUPLE_IP])[_IP_SOURCE])),
        state=tcp.get(_TCP_STATE, b"\0")[0],
        is_answered=bool(_NUMBER.unpack(entry[_STATUS])[0] & _STATUS_SEEN_REPLY),
        server_closed_first=bool(tcp.get(_TCP_FLAGS_REPLY, b"\0")[0] & _TCP_FLAG_CLOSE_INIT),
        original_tuple=entry[_TUPLE_ORIGINAL],
        identity=_NUMBER.unpack(entry[_ID])[0],
    )


def _attributes(data: bytes) -> Attributes:
    found: Attributes = {}
    position = 0
    while position + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, position)
        found[kind & _TYPE_MASK] = data[position + _ATTRIBUTE.size : position + length]
        position += _aligned(length)
    return found


def _attribute(kind: int, payload: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload.ljust(_aligned(length) - _ATTRIBUTE.size, b"\0")


def _message(kind: int, flags: int, body: bytes) -> bytes:
    length = _HEADER.size + len(_NETFILTER_HEADER) + len(body)
    return _HEADER.pack(length, kind, flags, 1, 0) + _NETFILTER_HEADER + body


def _aligned(length: int) -> int:
    return (length + 3) & ~3
