"""The cluster's own record: its settings and the secrets by which nodes join."""

from dataclasses import dataclass, field

from orchestrator.model.gossip import GossipKey
from orchestrator.model.labels import Labels
from orchestrator.model.network import DEFAULT_DATA_PATH_PORT

DEFAULT_ADDRESS_POOLS = ("10.0.0.0/8",)
DEFAULT_SUBNET_SIZE = 24
"""Prefix length of the networks cut from the address pools."""
SHORTEST_HEARTBEAT_S = 0.1


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """`docker swarm update` settings. Durations in seconds; defaults are swarm mode's."""

    name: str = "default"
    labels: Labels = ()
    task_history_limit: int = 5
    heartbeat_period: float = 5.0
    node_certificate_expiry: float = 2160 * 3600.0
    snapshot_interval: int = 10000
    keep_old_snapshots: int = 0
    log_entries_for_slow_followers: int = 500
    election_tick: int = 10
    heartbeat_tick: int = 1
    auto_lock_managers: bool = False
    force_rotate: int = 0
    """A number that asks, by being another than before, for a new root certificate."""
    signing_certificate: str = ""
    """PEM of the root the user chose; its key is in `Cluster` alone."""

    @property
    def beat(self) -> float:
        """Seconds between heartbeats in fact: a period of nanoseconds, which swarm mode takes, is none to live by."""
        return max(self.heartbeat_period, SHORTEST_HEARTBEAT_S)


@dataclass(frozen=True, slots=True)
class RootRotation:
    """The root that is to be the cluster's as soon as every node has a certificate of it."""

    ca_certificate: str
    """PEM."""
    ca_key: str = field(repr=False)
    """PEM."""
    cross_signed: str
    """PEM of the new root as the old one certifies it: by it those who trust the old root trust the new one's nodes."""
    digest: str
    """What join tokens name the root by."""
    issuer_public_key: str
    """As in `NodeTrust`, of the new root."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The one cluster record."""

    id: str
    spec: ClusterSpec = field(default_factory=ClusterSpec)
    ca_certificate: str = ""
    """PEM of the root certificate."""
    ca_key: str = field(default="", repr=False)
    """PEM of the root key: never leaves the managers."""
    worker_token: str = ""
    manager_token: str = ""
    gossip_keys: tuple[GossipKey, ...] = ()
    """At most two, the one to seal with first; `control/gossip_keys.py` rotates them."""
    default_address_pools: tuple[str, ...] = ()
    """Where networks get their subnets from, if not from `DEFAULT_ADDRESS_POOLS`."""
    subnet_size: int = DEFAULT_SUBNET_SIZE
    data_path_port: int = DEFAULT_DATA_PATH_PORT
    unlock_key: str = field(default="", repr=False)
    """What managers' keys are sealed under on their disks; "" while they are not."""
    rotation: RootRotation | None = None
    """None while the root is not being replaced."""
    has_had_ingress: bool = False
    """The mesh's network is made once; a user who removes it may want another, or none."""
    created_at: float = 0.0
    updated_at: float = 0.0
    version: int = 0

    @property
    def issuer_certificate(self) -> str:
        """PEM of the root that new certificates are of: the next one, from the moment there is to be one."""
        return self.rotation.ca_certificate if self.rotation else self.ca_certificate
