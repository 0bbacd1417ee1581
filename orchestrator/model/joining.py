"""What a node that wants to join and a manager say to each other."""

from dataclasses import dataclass, field

from orchestrator.model.node import MANAGEMENT_PORT, Availability, NodeDescription, NodeRole

SWARM_CONNECT_TIMEOUT_S = 20.0
"""How long a node waits for a manager to take it in, or to renew what it was given: moby's `swarmConnectTimeout`."""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A stranger asks to become a member."""

    token: str
    certificate_request: str
    """PEM of a certificate signing request; its subject is ignored, the manager chooses the identity."""
    description: NodeDescription
    address: str
    """IPv4 address the others shall reach the node at."""
    availability: Availability = Availability.ACTIVE
    management_port: int = MANAGEMENT_PORT
    """Where it will listen as a manager."""


@dataclass(frozen=True, slots=True)
class JoinReply:
    """The stranger is a member now."""

    node_id: str
    cluster_id: str
    role: NodeRole
    certificate: str
    """PEM; holds the node id and the role."""
    ca_certificate: str
    managers: tuple[str, ...]
    """Addresses ("10.1.2.3:2377") of all managers."""
    secrets_key: str = field(default="", repr=False)
    """For managers only: the key under which secrets are sealed (`manager/secret_vault.py`); never replicated."""
    raft_peers: tuple[str, ...] = ()
    """For managers only: addresses of the other members of the Raft group."""


@dataclass(frozen=True, slots=True)
class RenewRequest:
    """A member asks for a certificate of the role it is to have now; answered by a `JoinReply`."""

    certificate_request: str
    """PEM, as in `JoinRequest`."""
