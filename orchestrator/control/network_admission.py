"""Whether a network that a user asks for may enter the cluster, and which subnet it gets.

Behaves as swarmkit's `manager/controlapi/network.go` and libnetwork's address management; `state.apply` repeats what
must hold at commit. What swarm mode has and this orchestrator has not is refused, never ignored. Pure.
"""

import re
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
        gateway=_gateway(wish.gateway, subnet),
        address_range=_address_range(wish.address_range, subnet),
        reserved_addresses=_reserved(wish.reserved_addresses, subnet),
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
    if any(overlaps(str(subnet), network.subnet) for network in state.networks.values()):
        raise Forbidden("Pool overlaps with other one on this address space")
    return str(subnet)


def _gateway(text: str, subnet: str) -> str:
    if not text:
        return ""
    try:
        gateway = IPv4Address(text)
    except AddressValueError as error:
        raise InvalidArgument(f"invalid gateway {text}: invalid address") from error
    if gateway not in IPv4Network(subnet):
        raise InvalidArgument(f"no matching subnet for gateway {text}")
    return str(gateway)


def _address_range(text: str, subnet: str) -> str:
    if not text:
        return ""
    part = _parse_subnet("ip-range", text)
    if not part.subnet_of(IPv4Network(subnet)):
        raise InvalidArgument(f"no matching subnet for range {text}")
    return str(part)


def _reserved(pairs: Labels, subnet: str) -> Labels:
    for _, text in pairs:
        try:
            is_within = IPv4Address(text) in IPv4Network(subnet)
        except AddressValueError as error:
            raise InvalidArgument(f"invalid auxiliary address {text}: invalid address") from error
        if not is_within:
            raise InvalidArgument(f"no matching subnet for aux-address {text}")
    return pairs


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
