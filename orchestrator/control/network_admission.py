"""Whether a network that a user asks for may enter the cluster, and which subnet it gets.

Behaves as swarmkit's `manager/controlapi/network.go` and libnetwork's address management; `state.apply` repeats what
must hold at commit. What swarm mode has and this orchestrator has not is refused, never ignored. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from orchestrator.control.allocator.networks import free_subnet, free_vni
from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import AlreadyExists, Forbidden, InvalidArgument, NotFound
from orchestrator.model.labels import Labels
from orchestrator.model.network import Network
from orchestrator.model.subnets import overlaps
from orchestrator.state.cluster_state import ClusterState

SMALLEST_SUBNET = 29
"""Prefix length: a gateway for each of some nodes, a virtual address, a task."""
MAX_NAME_LENGTH = 63

# One way to match each text: a second `+` in here, as Go's linear matcher affords it, would take Python for ever.
_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9])*")
_REFUSED_OPTIONS = {
    "encrypted": "encrypted overlay networks are not supported",
    "com.docker.network.driver.mtu": "the MTU of overlay networks cannot be chosen: it is 1450",
    "com.docker.network.driver.overlay.vxlanid_list": "VXLAN identifiers are chosen by the cluster",
}
_NOT_FOR_NETWORKS = (
    ("this host", IPv4Network("0.0.0.0/8")),
    ("loopback", IPv4Network("127.0.0.0/8")),
    ("multicast", IPv4Network("224.0.0.0/4")),
    ("broadcast and future use", IPv4Network("240.0.0.0/4")),
)
"""RFC 6890, what no interface may have; engines make a bridge of whatever they are asked for."""


@dataclass(frozen=True, slots=True)
class NetworkWish:
    """What the user asked for; empty means that the cluster chooses."""

    name: str
    subnet: str = ""
    gateway: str = ""
    address_range: str = ""
    reserved_addresses: Labels = ()
    attachable: bool = False
    internal: bool = False
    ingress: bool = False
    labels: Labels = ()
    options: Labels = ()


def admit_network(state: ClusterState, cluster: Cluster, wish: NetworkWish, network_id: str) -> Network:
    """The network as it is to be created. Raises the `ClusterError` for which it cannot be."""
    _check_name(wish.name)
    if wish.ingress and wish.attachable:
        raise InvalidArgument("ingress network cannot be attachable")
    if wish.ingress and (present := state.ingress) is not None:
        raise AlreadyExists(f"ingress network ({present.id}) is already present")
    for option, _ in wish.options:
        if option in _REFUSED_OPTIONS:
            raise InvalidArgument(_REFUSED_OPTIONS[option])
    subnet = _subnet(state, cluster, wish)
    gateway = _gateway(wish.gateway, subnet)
    reserved = _reserved(wish.reserved_addresses, subnet, gateway)
    kept = [gateway] if gateway else []
    kept += [address for _, address in reserved]
    return Network(
        id=network_id,
        name=wish.name,
        subnet=subnet,
        vni=free_vni(state.networks.values()),
        ingress=wish.ingress,
        attachable=wish.attachable,
        internal=wish.internal,
        labels=wish.labels,
        options=wish.options,
        gateway=gateway,
        address_range=_address_range(wish.address_range, subnet, kept),
        reserved_addresses=reserved,
    )


def check_node_address(state: ClusterState, address: str) -> None:
    """Raise `InvalidArgument` when some network's subnet holds the address, so that no node there would be reached."""
    for network in state.networks.values():
        if IPv4Address(address) in IPv4Network(network.subnet):
            raise InvalidArgument(
                f"the node's address {address} is within {network.subnet}, the subnet of network {network.name}: "
                "choose another address (--advertise-addr) or other address pools (init --default-addr-pool)"
            )


def _check_name(name: str) -> None:
    if not name:
        raise InvalidArgument("meta: name must be provided")
    if not _NAME.fullmatch(name):
        raise InvalidArgument("name must be valid as a DNS name component")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidArgument(f"name must be {MAX_NAME_LENGTH} characters or fewer")


def _subnet(state: ClusterState, cluster: Cluster, wish: NetworkWish) -> str:
    if not wish.subnet:
        addresses = [node.address for node in state.nodes.values()]
        found = free_subnet(cluster, state.networks.values(), addresses)
        if found is None:
            raise NotFound(
                "could not find an available, non-overlapping IPv4 address pool among the defaults "
                "to assign to the network"
            )
        return found
    subnet = _parse_subnet("subnet", wish.subnet)
    if subnet.prefixlen > SMALLEST_SUBNET:
        raise InvalidArgument(f"invalid subnet {wish.subnet}: an overlay network needs at least a /{SMALLEST_SUBNET}")
    for use, kept in _NOT_FOR_NETWORKS:
        if subnet.overlaps(kept):
            raise InvalidArgument(f"invalid subnet {wish.subnet}: {kept} is kept for {use}")
    for node in state.nodes.values():
        if node.address and IPv4Address(node.address) in subnet:
            raise InvalidArgument(
                f"invalid subnet {wish.subnet}: node {node.description.hostname} has the address {node.address}, "
                "and would not be reached any more"
            )
    if any(overlaps(str(subnet), network.subnet) for network in state.networks.values()):
        raise Forbidden("Pool overlaps with other one on this address space")
    return str(subnet)


def _gateway(text: str, subnet: str) -> str:
    return _address("gateway", text, subnet) if text else ""


def _address_range(text: str, subnet: str, taken: Iterable[str]) -> str:
    if not text:
        return ""
    part = _parse_subnet("ip-range", text)
    whole = IPv4Network(subnet)
    if not part.subnet_of(whole):
        raise InvalidArgument(f"no matching subnet for range {text}")
    # The first address is nobody's: Docker's custom has the gateway there.
    ends = (whole[0], whole[1], whole[-1])
    unusable = {*ends, *map(IPv4Address, taken)}
    if part.num_addresses <= len(unusable) and unusable.issuperset(part):
        raise InvalidArgument(f"invalid ip-range {text}: no address of it can be given out")
    return str(part)


def _reserved(pairs: Labels, subnet: str, gateway: str) -> Labels:
    taken = {gateway}
    for _, text in pairs:
        address = _address("auxiliary address", text, subnet)
        if address in taken:
            raise Forbidden(f"auxiliary address {text}: Address already in use")
        taken.add(address)
    return pairs


def _address(what: str, text: str, subnet: str) -> str:
    whole = IPv4Network(subnet)
    try:
        address = IPv4Address(text)
    except AddressValueError as error:
        raise InvalidArgument(f"invalid {what} {text}: invalid address") from error
    if address not in whole:
        raise InvalidArgument(f"no matching subnet for {what.replace('auxiliary address', 'aux-address')} {text}")
    if address in (whole.network_address, whole.broadcast_address):
        raise InvalidArgument(f"invalid {what} {text}: it is the first or the last address of {subnet}")
    return str(address)


def _parse_subnet(what: str, text: str) -> IPv4Network:
    try:
        subnet = IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise InvalidArgument(f"invalid network config:\ninvalid {what} {text}: invalid CIDR block notation") from error
    if "/" not in text:
        raise InvalidArgument(f"invalid network config:\ninvalid {what} {text}: invalid CIDR block notation")
    if str(subnet) != text:
        raise InvalidArgument(f"invalid network config:\ninvalid {what} {text}: it should be {subnet}")
    return subnet
