"""What nodes need to probe one another: who takes part, and the keys their datagrams are sealed with."""

from dataclasses import dataclass

from orchestrator.model.network import Peer

GOSSIP_PORT = 7946
"""UDP port of every node. Docker's own number."""


@dataclass(frozen=True, slots=True)
class GossipKey:
    """One key of the cluster, as managers keep it."""

    secret: str
    """At least 256 bits of chance as text; the key proper is derived from it."""
    made_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys as nodes hold them: in memory only."""

    cluster_id: str = ""
    secrets: tuple[str, ...] = ()
    """Datagrams are sealed with the first and opened with any. Empty = nobody probes."""


@dataclass(frozen=True, slots=True)
class GossipConfiguration:
    """One node's part in the probing: a whole, never a difference."""

    node_id: str
    address: str
    """IPv4 address where this node listens and from which it sends."""
    keyring: Keyring
    members: tuple[Peer, ...]
    """All other nodes of the cluster."""
