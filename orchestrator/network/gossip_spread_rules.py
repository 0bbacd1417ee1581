"""News on its way: what is piggy-backed on the next messages, the least told first. Pure.

Each piece is sent a multiple of log(members) times, after which all have it but with vanishing probability (SWIM,
section 4.1; memberlist `queue.go` counts alike).
"""

import math
from dataclasses import dataclass

from orchestrator.network.gossip_message_rules import Standing, Update

RETRANSMITS = 4
"""Times the decimal logarithm of the cluster's size (memberlist's RetransmitMult)."""


@dataclass(slots=True)
class _Piece:
    update: Update
    sent: int = 0


class Spread:
    """The news this node still passes on. Its size is bounded by the members times the accusers that count."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[str, str], _Piece] = {}
        """By member and, for suspicions, accuser."""

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, update: Update) -> None:
        """Pass the update on; what it overtakes is told no more."""
        self._pieces = {key: piece for key, piece in self._pieces.items() if not _overtakes(update, piece.update)}
        self._pieces[(update.member, update.by)] = _Piece(update)

    def forget(self, member: str) -> None:
        """It is no member any more."""
        self._pieces = {key: piece for key, piece in self._pieces.items() if key[0] != member}

    def take(self, limit: int, members: int) -> tuple[Update, ...]:
        """At most so many updates for one message; `members` is the size of the cluster."""
        enough = RETRANSMITS * math.ceil(math.log10(members + 1))
        chosen = sorted(self._pieces.items(), key=lambda item: item[1].sent)[:limit]
        for key, piece in chosen:
            piece.sent += 1
            if piece.sent >= enough:
                del self._pieces[key]
        return tuple(piece.update for _, piece in chosen)


def _overtakes(new: Update, old: Update) -> bool:
    if new.member != old.member:
        return False
    # Accusations of the same incarnation by others are each news: they count.
    is_another_voice = new.standing is old.standing is Standing.SUSPECT and new.incarnation == old.incarnation
    return not is_another_voice or new.by == old.by
