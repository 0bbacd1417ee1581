"""Lists and deletes entries of the kernel's connection tracking table, over netlink. Which ones is not decided here."""

import errno
import os
import socket
from collections.abc import Sequence

from orchestrator.network.conntrack_messages import (
    MESSAGE_DONE,
    MESSAGE_ERROR,
    NETLINK_NETFILTER,
    delete_request,
    error_number,
    get_request,
    list_request,
    parse_flow,
    split_messages,
)
from orchestrator.network.flow_rules import Flow

_DEADLINE_S = 5.0
"""For one answer of the kernel, which gives it at once."""
_BUFFER_BYTES = 1 << 16
"""The kernel fills at most 32 KiB per message of a dump."""


class Conntrack:
    """The tracking table of the network namespace that the calling thread is in. Blocking: call it in a thread."""

    def flows(self, mark: int, mask: int) -> list[Flow]:
        """IPv4 entries whose connection mark, under the mask, is that one. Raises `OSError`."""
        found: list[Flow] = []
        with _open() as link:
            link.send(list_request(mark, mask))
            while True:
                for kind, body in split_messages(_receive(link)):
                    if kind == MESSAGE_DONE:
                        return found
                    if kind == MESSAGE_ERROR:
                        raise _refused(body)
                    found.append(parse_flow(body))

    def refresh(self, flows: Sequence[Flow]) -> list[Flow]:
        """Those of the entries that still exist, as they are now. Raises `OSError`."""
        with _open() as link:
            answers = [(flow, _ask(link, get_request(flow))) for flow in flows]
        present = [(flow, parse_flow(body)) for flow, (kind, body) in answers if kind != MESSAGE_ERROR]
        return [now for before, now in present if now.identity == before.identity]

    def forget(self, flows: Sequence[Flow]) -> None:
        """Delete the entries that are still the same. Raises `OSError`."""
        with _open() as link:
            for flow in flows:
                _ask(link, delete_request(flow))


def _open() -> socket.socket:
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    link.settimeout(_DEADLINE_S)
    link.bind((0, 0))
    link.connect((0, 0))
    return link


def _ask(link: socket.socket, request: bytes) -> tuple[int, bytes]:
    """The (type, body) that answers; an error only when it says "done" or "no such entry"."""
    link.send(request)
    kind, body = next(split_messages(_receive(link)))
    if kind == MESSAGE_ERROR and error_number(body) not in (0, errno.ENOENT):
        raise _refused(body)
    return kind, body


def _receive(link: socket.socket) -> bytes:
    data, _, flags, _ = link.recvmsg(_BUFFER_BYTES)
    if flags & socket.MSG_TRUNC:
        raise OSError(errno.EMSGSIZE, "connection tracking: an answer of the kernel was cut off")
    return data


def _refused(body: bytes) -> OSError:
    number = error_number(body)
    return OSError(number, f"connection tracking: {os.strerror(number)}")
