"""How a manager stands in the consensus, for whoever looks for the reason of a fault."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """Another manager, as this one sees it."""

    address: str
    """ "address:port" of its consensus."""
    connected: bool
    answered: bool
    """As leader: whether it has answered as lately as a leader needs a majority to."""
    next_index: int
    """As leader: the entry that is sent to it next."""
    match_index: int
    """As leader: the last entry it is known to have."""


@dataclass(frozen=True, slots=True)
class ConsensusStatus:
    """This manager."""

    address: str
    leads: bool
    leader: str
    """ "address:port"; empty when it knows none."""
    term: int
    commit_index: int
    applied_index: int
    first_index: int
    """The log's first entry: what came before is in the snapshot."""
    last_index: int
    state_index: int
    """Batches applied and not refused."""
    state_digest: str
    """Of all of them, one upon the other: the same on every manager with the same `state_index`, or one of them is
    wrong."""
    is_ready: bool
    """Whether it has once caught up with a leader since it started."""
    election_in: float
    """Seconds until it stands for election when it hears nothing."""
    peers: tuple[PeerStatus, ...]
