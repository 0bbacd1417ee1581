"""Tells messages of a living member from recordings of it.

Within a session each number counts once, in a window as in IPsec's anti-replay service (RFC 4303, section 3.4.3). A
session is believed only when the member has answered a ping with it: the answer carries a number we have just drawn, so
nobody can have it on tape. Pure.
"""

from dataclasses import dataclass
from enum import Enum, auto

WINDOW = 1024
"""How many numbers a message may come late: datagrams overtake one another."""


class Freshness(Enum):
    """What a message's session and number say."""

    FRESH = auto()
    REPLAYED = auto()
    """Had before, or too old to tell."""
    UNPROVEN = auto()
    """Of a session that has not answered us."""


@dataclass(slots=True)
class ReplayGuard:
    """One member's session as far as it was heard."""

    session: int | None = None
    highest: int = -1
    seen: int = 0
    """Bit n set: `highest - n` was had."""

    def look(self, session: int, number: int) -> Freshness:
        """Judge a message without noting it."""
        if session != self.session:
            return Freshness.UNPROVEN
        age = self.highest - number
        if age < 0:
            return Freshness.FRESH
        return Freshness.REPLAYED if age >= WINDOW or self.seen >> age & 1 else Freshness.FRESH

    def note(self, session: int, number: int) -> None:
        """Take a fresh message's number, or begin a session that was proven by it."""
        if session != self.session:
            self.session, self.highest, self.seen = session, number, 1
            return
        ahead = number - self.highest
        if ahead > 0:
            self.seen = (self.seen << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self.highest = number
        else:
            self.seen |= 1 << -ahead
