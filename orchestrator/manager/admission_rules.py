"""Who may connect to the managers' port: so many at once and so fast that nobody can shut the members out.

Every connection is a stranger's until TLS has seen a certificate. Strangers are few: nodes that join. A handshake costs
a manager a millisecond or two, so an address that is no node's may not begin many. Pure.
"""

from dataclasses import dataclass, field

STRANGERS_MAX = 128
STRANGERS_PER_ADDRESS_MAX = 16
PER_MEMBER_MAX = 256
"""More than a manager's pool of forwarded requests (100) and its own session."""
BURST = 32
PER_SECOND = 10.0
"""Connections of an address that is no node's: at once, and lastingly."""
REMEMBERED_MAX = 4096
"""Addresses whose pace is known."""


@dataclass(slots=True)
class _Pace:
    left: float
    at: float


@dataclass(slots=True)
class Admission:
    """Counts the connections of one port."""

    strangers: dict[str, int] = field(default_factory=dict)
    """Address -> connections that have shown no certificate."""
    members: dict[str, int] = field(default_factory=dict)
    """Address -> connections of members."""
    _paces: dict[str, _Pace] = field(default_factory=dict)

    def arrive(self, address: str, now: float, *, is_node: bool) -> bool:
        """Whether a connection from there may begin its handshake; `is_node`: a member has this address.

        One that may counts as a stranger's until it is recognised. `now` in seconds, by a clock that nobody sets.
        """
        count = self.strangers.get(address, 0)
        if is_node:
            if count + self.members.get(address, 0) >= PER_MEMBER_MAX:
                return False
        elif (
            count >= STRANGERS_PER_ADDRESS_MAX
            or sum(self.strangers.values()) >= STRANGERS_MAX
            or not self._in_pace(address, now)
        ):
            return False
        self.strangers[address] = count + 1
        return True

    def recognise(self, address: str) -> None:
        """The connection has turned out to be a member's."""
        _decrement(self.strangers, address)
        self.members[address] = self.members.get(address, 0) + 1

    def leave(self, address: str, *, is_member: bool) -> None:
        """The connection has ended."""
        _decrement(self.members if is_member else self.strangers, address)

    def _in_pace(self, address: str, now: float) -> bool:
        pace = self._paces.get(address)
        if pace is None:
            self._make_room(now)
            pace = self._paces[address] = _Pace(BURST, now)
        pace.left = min(BURST, pace.left + (now - pace.at) * PER_SECOND)
        pace.at = now
        if pace.left < 1:
            return False
        pace.left -= 1
        return True

    def _make_room(self, now: float) -> None:
        """Forget who has been quiet for long enough; if nobody was, the one known longest."""
        if len(self._paces) < REMEMBERED_MAX:
            return
        for address, pace in list(self._paces.items()):
            if now - pace.at > BURST / PER_SECOND:
                del self._paces[address]
        if len(self._paces) >= REMEMBERED_MAX:
            del self._paces[next(iter(self._paces))]


def _decrement(counts: dict[str, int], address: str) -> None:
    if counts[address] == 1:
        del counts[address]
    else:
        counts[address] -= 1
