"""Networks, and what each node must do to carry them: the data plane's configuration as plain data."""

from dataclasses import dataclass, field

from orchestrator.model.labels import Labels
from orchestrator.model.names import NetworkNames
from orchestrator.model.service import PortConfig

INGRESS_NETWORK_NAME = "ingress"
DEFAULT_DATA_PATH_PORT = 4789
"""UDP port of VXLAN (RFC 7348)."""
FIRST_VNI = 4096
"""Docker numbers overlay VXLANs from here."""


@dataclass(frozen=True, slots=True)
class Network:
    """An overlay network of the cluster."""

    id: str
    name: str
    subnet: str
    """For example "10.0.0.0/24"; its first address is left to the gateway role, as Docker does."""
    vni: int
    """VXLAN network identifier."""
    driver: str = "overlay"
    ingress: bool = False
    attachable: bool = False
    internal: bool = False
    labels: Labels = ()
    options: Labels = ()
    gateway: str = ""
    """The gateway as the user asked for it: shown and never given out. Nodes have gateways of their own."""
    address_range: str = ""
    """The part of the subnet that tasks and virtual addresses come from; empty = all of it."""
    reserved_addresses: Labels = ()
    """(host name, address) as the user asked for it with `--aux-address`: shown and never given out."""
    last_address: str = ""
    """The address given out last: the next is sought after it, so a freed one rests as long as possible."""
    removing: bool = False
    """Removed by the user, but carried until its last task is over. Its name is free again."""
    created_at: float = 0.0
    updated_at: float = 0.0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A task as balancers see it."""

    task_id: str
    task_name: str
    node_id: str
    address: str
    """Its address on the mesh's network; empty when it is not on it."""
    addresses: tuple[tuple[str, str], ...] = ()
    """(network id, address) on every network it is on, that of the mesh included."""
    deviating_ports: tuple[tuple[str, int, int], ...] = ()
    """(protocol, published port, target port) where the task was made with another target than the service has now;
    target 0 = it has none. All other ports are as the service's."""

    @property
    def all_addresses(self) -> tuple[str, ...]:
        """Every address it is reached at, each once."""
        own = (self.address,) if self.address else ()
        return tuple(dict.fromkeys((*own, *(address for _, address in self.addresses))))

    def address_on(self, network_id: str) -> str | None:
        """Its address on that network; None when it is not on it."""
        return dict(self.addresses).get(network_id)

    def target_of(self, port: PortConfig) -> int | None:
        """The task's own port behind the service's published one; None when nothing listens for it there."""
        for protocol, published, target in self.deviating_ports:
            if (protocol, published) == (port.protocol, port.published_port):
                return target or None
        return port.target_port


@dataclass(frozen=True, slots=True)
class BalancedService:
    """One service as a node's balancer needs it."""

    service_id: str
    service_name: str
    ports: tuple[PortConfig, ...]
    """Ingress-mode ports, numbers allocated."""
    endpoints: tuple[Endpoint, ...]
    """Ordered by task id. New connections go to these."""
    draining: tuple[Endpoint, ...] = ()
    """Withdrawn but still running: no new connection; closed flows to them must be forgotten."""
    virtual_addresses: tuple[tuple[str, str], ...] = ()
    """(network id, address), ordered: what the service's name stands for on that network. One that only draining
    tasks were reached by stays as long as they do."""
    lingering: tuple[Endpoint, ...] = ()
    """No new connection and no wait either: told to stop and not known to have ended, or on a node that is not heard
    of. Answers may still come from there. Who is in none of the three lists is over, and all flows there with it."""


@dataclass(frozen=True, slots=True)
class AttachedNetwork:
    """A network as one node carries it."""

    network_id: str
    name: str
    subnet: str
    vni: int
    gateway: str
    """The address of this node's bridge on the network."""
    internal: bool = False
    attachable: bool = False
    attachment_range: str = ""
    """Attachable networks: the addresses ("10.0.1.248/29") that containers started by hand on this node may have."""
    ingress: bool = False
    labels: Labels = ()
    options: Labels = ()
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node, as the far end of a tunnel."""

    node_id: str
    address: str


@dataclass(frozen=True, slots=True)
class NetworkConfiguration:
    """Everything one node's data plane should be at `revision`: a whole, never a difference."""

    revision: int = 0
    networks: tuple[AttachedNetwork, ...] = ()
    peers: tuple[Peer, ...] = ()
    """All other nodes of the cluster, ordered by node id."""
    services: tuple[BalancedService, ...] = field(default=())
    names: tuple[NetworkNames, ...] = ()
    """Of the networks this node carries, the mesh's own excepted, ordered by network id."""
    data_path_port: int = DEFAULT_DATA_PATH_PORT
    """UDP port of the tunnels, the same on every node."""
    down: tuple[str, ...] = ()
    """Ids of the nodes that the managers have declared down, in order."""
