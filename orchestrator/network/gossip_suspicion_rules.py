"""How long a suspected member has to refute. Pure.

The more members found it silent by themselves, the shorter: one accuser may be the slow one itself. From Lifeguard
(Dadgar, Phillips, Currey: "Lifeguard: Local Health Awareness for More Accurate Failure Detection", DSN-W 2018),
as are the factors.
"""

import math
from dataclasses import dataclass, field

CONFIRMATIONS = 2
"""Accusers beside the first after which the time is at its shortest."""
SHORTEST_S = 0.5
"""Of a cluster of up to ten; beyond, times the decimal logarithm of its size, for news takes longer there."""
LONGEST_FACTOR = 6


@dataclass(slots=True)
class Suspicion:
    """A suspicion that runs."""

    since: float
    members: int
    """Size of the cluster, held dead left out."""
    accusers: dict[str, None] = field(default_factory=dict)

    @property
    def wanted(self) -> int:
        """Accusers beside the first that make a difference: the suspect and the first are none."""
        return min(CONFIRMATIONS, max(0, self.members - 2))

    def confirm(self, accuser: str) -> bool:
        """Note who accuses; returns whether it is a new voice that makes a difference."""
        if accuser in self.accusers or len(self.accusers) > self.wanted:
            return False
        self.accusers[accuser] = None
        return True

    @property
    def until(self) -> float:
        """When the member is held dead."""
        shortest = SHORTEST_S * max(1.0, math.log10(self.members))
        longest = LONGEST_FACTOR * shortest
        if not self.wanted:
            return self.since + shortest
        share = math.log(len(self.accusers)) / math.log(self.wanted + 1)
        return self.since + max(shortest, longest - share * (longest - shortest))
