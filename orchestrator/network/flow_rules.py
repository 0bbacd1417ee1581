"""What becomes of a tracked connection whose endpoint was withdrawn: is it open, to be forgotten, or to be left alone?

The promise behind `DataPlane.flows`: once it says zero for a withdrawn endpoint, no packet of a new connection ever
goes there from this node, and no answer that passes here is cut off. Why it holds:

1. *No new entry.* `apply` commits rules without the endpoint and then waits until every packet that might have met
   the old rules has left the network stack (`kernel_barrier`). From then on each connection to it that can still come
   up is already an entry of the tracking table: what a dump begun later does not list does not exist.
2. *Entries only get fewer.* So one dump at the withdrawal finds all there will ever be, and afterwards each is looked
   up by itself (a dump walks the table of the whole machine, 10 ms here; a look-up takes 20 us). An entry is counted
   until its last byte was acknowledged or it was reset. A SYN repeated for a connection in SYN_SENT or a later state
   belongs to that connection, so it is counted.
3. *A reused source port.* Linux itself balances a SYN afresh that meets an entry in TIME_WAIT, or one that the client
   reset: it deletes the entry and looks again (nf_conntrack_proto_tcp.c, "Attempt to reopen a closed/aborted
   connection"). Not so after a reset by the server: there the SYN would follow the old entry to the old endpoint. Such
   entries, in state CLOSE, are forgotten in the very pass that may report zero.
4. *No mistaken deletion.* Entries are deleted by tuple and kernel id together, so one that was reborn for another
   endpoint between the look and the deletion is spared.

TIME_WAIT is left alone on purpose: the state says that an acknowledgement was seen after both FINs, not that it was
the last one. A segment lost between here and the client is sent again through that entry, as long as it exists.

When the server closed first and its FIN was acknowledged (CLOSE_WAIT, begun from the answering side), the answer has
been given, and clients that pool connections may sit on the rest for long: not open. Whether the last bytes arrived is
known best where the task runs, by its sockets (`connections_rules`).

When its task has ended, no flow stays (`FlowTable.follow`). A connection that was cut off waits in the tracking table
for an acknowledgement that nobody is there to send, LAST_ACK, and a client that comes by the same address and port in
that half minute, a new one on the same host say, would be sent where nobody answers. Without the entry the client's
next packet on the old connection is answered with a reset (`ingress_rules`).

UDP has no end. An answered flow is forgotten at once, so that the next datagram goes to a live endpoint. One without
an answer is given some seconds to get it, and counts as open.

Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

PROTOCOL_TCP = 6

UDP_ANSWER_WAIT_S = 5.0
"""How long after the withdrawal a datagram may wait for its answer."""


class TcpState(IntEnum):
    """Connection tracking's TCP states (include/uapi/linux/netfilter/nf_conntrack_tcp.h)."""

    NONE = 0
    SYN_SENT = 1
    SYN_RECV = 2
    ESTABLISHED = 3
    FIN_WAIT = 4
    """One side has sent its FIN, whichever."""
    CLOSE_WAIT = 5
    """And something was acknowledged after it: a client that closed its half and awaits the answer stays here."""
    LAST_ACK = 6
    """Both have sent their FIN."""
    TIME_WAIT = 7
    CLOSE = 8
    """Reset."""
    SYN_SENT2 = 9


class Fate(Enum):
    """What to do with a flow to an endpoint that gets no new connections."""

    OPEN = auto()
    """It holds its task."""
    WATCH = auto()
    """It holds nothing now."""
    LEAVE = auto()
    """It will never hold anything, and the kernel ends it in its own time."""
    FORGET = auto()
    """Delete it, or it would draw new packets to the old endpoint."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One entry of the tracking table, as far as its fate depends on it."""

    protocol: int
    """IP protocol number."""
    endpoint: str
    """The address that answers: where the flow was balanced to."""
    state: int
    """A `TcpState` for TCP; meaningless for others."""
    is_answered: bool
    """Whether a packet came back."""
    server_closed_first: bool
    original_tuple: bytes
    """The netlink attribute that names the entry to the kernel."""
    identity: int
    """The kernel's id of the entry, which a reborn entry of the same tuple does not share."""


def fate_of_withdrawn(flow: Flow, withdrawn_for: float) -> Fate:
    """The fate of a flow whose endpoint was withdrawn that many seconds ago but still runs."""
    if flow.protocol != PROTOCOL_TCP:
        return Fate.OPEN if not flow.is_answered and withdrawn_for < UDP_ANSWER_WAIT_S else Fate.FORGET
    if flow.state == TcpState.CLOSE:
        return Fate.FORGET
    if flow.state == TcpState.TIME_WAIT:
        return Fate.LEAVE
    if flow.state == TcpState.CLOSE_WAIT and flow.server_closed_first:
        return Fate.WATCH
    return Fate.OPEN


def fate_of_lingering(flow: Flow) -> Fate:
    """The fate of a flow whose endpoint is told to stop, or on a node that is not heard of.

    A client that is still trying to connect is balanced afresh with its next SYN. Established connections are left:
    a server that was told to stop may be finishing its answers.
    """
    if flow.protocol != PROTOCOL_TCP or flow.state in (TcpState.SYN_SENT, TcpState.CLOSE):
        return Fate.FORGET
    return Fate.LEAVE


def covering_mark(marks: Sequence[int]) -> tuple[int, int]:
    """(mark, mask) that selects all of the connection marks, and as few others as one mask can.

    `marks` is not empty.
    """
    mask = 0xFFFFFFFF
    for mark in marks:
        mask &= ~(mark ^ marks[0])
    return marks[0] & mask, mask
