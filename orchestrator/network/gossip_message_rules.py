"""What nodes say to one another when they probe: plain data, before it is sealed. Pure."""

from dataclasses import dataclass
from enum import IntEnum

MAX_UPDATES = 12
"""Per message. With node ids of 25 characters a sealed datagram stays below 1,350 bytes: never fragmented."""


class Standing(IntEnum):
    """What is held of a member. With the same incarnation the later one here is believed."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2


class Kind(IntEnum):
    """What a message asks or answers."""

    PING = 0
    """Answer with an `ACK` of the same sequence number."""
    ACK = 1
    PING_REQUEST = 2
    """Ping `target` for me; answer with `ACK` when it did, else with `NACK`."""
    NACK = 3
    """I live and have asked, but the target did not answer me in time."""
    WORD = 4
    """Nothing but news."""


@dataclass(frozen=True, slots=True)
class Update:
    """News of a member."""

    member: str
    standing: Standing
    incarnation: int
    """Raised by the member alone, whenever it hears that it is suspected or held dead."""
    by: str = ""
    """Who accuses it, by its own probing."""


@dataclass(frozen=True, slots=True)
class Message:
    """One datagram's content."""

    sender: str
    session: int
    """Drawn by the sender at its start: numbers begin anew with it."""
    number: int
    """Of the sender's messages, to whomever: no two are the same."""
    kind: Kind
    incarnation: int
    """The sender's own."""
    sequence: int = 0
    """Which ping this asks or answers; meaningless in a `WORD`."""
    target: str = ""
    updates: tuple[Update, ...] = ()
