"""Networks: the mesh's own, free subnets and VXLAN numbers, and each node's addresses on the networks it carries."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from orchestrator.control.allocator.addresses import AddressPool
from orchestrator.model.cluster import DEFAULT_ADDRESS_POOLS, Cluster
from orchestrator.model.network import FIRST_VNI, INGRESS_NETWORK_NAME, Network
from orchestrator.model.node import Node
from orchestrator.model.subnets import overlaps, subnet_of
from orchestrator.state.actions import Action, CreateNetwork, RemoveNetwork, RemoveNodeGateway, SetNodeGateway
from orchestrator.state.cluster_state import ClusterState

_SMALLEST_RANGE = 29
_LARGEST_RANGE = 26


def attachment_prefix_length(subnet: str) -> int:
    """Size of each node's share of an attachable network, or of its range, for containers that are started by hand.

    A 32nd of the subnet, but 64 addresses at most and 8 at least, or an 8th of a subnet that has fewer than 64: a /24
    gives each node 8, a /16 gives 64. So a /24 has room for 20 nodes with some 70 tasks; a larger cluster wants a
    larger subnet. A node that finds no free share carries the network without one: there nothing can be attached.
    """
    prefix_length = subnet_of(subnet).prefixlen
    share = max(prefix_length + 5, _LARGEST_RANGE)
    return min(share, max(_SMALLEST_RANGE, prefix_length + 3), 32)


def ingress_network(state: ClusterState, cluster: Cluster, network_id: str) -> Network | None:
    """The network of the routing mesh, on the first free subnet; None when the pools are full."""
    subnet = free_subnet(cluster, state.networks.values(), [node.address for node in state.nodes.values()])
    if subnet is None:
        return None
    return Network(network_id, INGRESS_NETWORK_NAME, subnet, free_vni(state.networks.values()), ingress=True)


def free_subnet(cluster: Cluster, networks: Iterable[Network], addresses: Iterable[str] = ()) -> str | None:
    """The first subnet of the cluster's address pools that no network overlaps; None when there is none.

    Nor does it hold any of the `addresses`: those of the nodes, which it would make unreachable.
    """
    taken = [*(network.subnet for network in networks), *(address for address in addresses if address)]
    for pool in map(subnet_of, cluster.default_address_pools or DEFAULT_ADDRESS_POOLS):
        if pool.prefixlen > cluster.subnet_size:
            continue
        for subnet in pool.subnets(new_prefix=cluster.subnet_size):
            if not any(overlaps(str(subnet), other) for other in taken):
                return str(subnet)
    return None


def free_vni(networks: Iterable[Network]) -> int:
    """The lowest VXLAN number no network has."""
    taken = {network.vni for network in networks}
    return next(number for number in count(FIRST_VNI) if number not in taken)


@dataclass(frozen=True, slots=True)
class Gateways:
    """What is to be given to nodes and taken back, and whether some get none for want of a free address."""

    actions: tuple[Action, ...]
    are_wanting: bool


def missing_gateways(state: ClusterState, nodes: Iterable[Node]) -> Gateways:
    """Addresses for node bridges: every node carries ingress and attachable networks, others where tasks are on them.

    What a node carries no more it gives back.
    """
    pools: dict[str, AddressPool] = {}
    actions: list[Action] = []
    are_wanting = False
    for node in nodes:
        have = dict(node.gateways)
        carried = _carried(state, node)
        for network in carried.values():
            if network.id in have:
                continue
            if network.id not in pools:
                pools[network.id] = AddressPool(state, network)
            pool = pools[network.id]
            address = pool.next_gateway()
            if address is None:
                # A full network leaves the node without it; its tasks there say so when they get no address.
                are_wanting = True
                continue
            length = attachment_prefix_length(network.address_range or network.subnet)
            block = pool.highest_block(length) if network.attachable else None
            actions.append(SetNodeGateway(node.id, network.id, address, block or ""))
        actions.extend(RemoveNodeGateway(node.id, network_id) for network_id in have if network_id not in carried)
    return Gateways(tuple(actions), are_wanting)


def missing_ingress(state: ClusterState, cluster: Cluster, network_id: str) -> Iterator[Action]:
    """The mesh's network, once: a user may have removed it."""
    if state.ingress is None and not cluster.has_had_ingress:
        network = ingress_network(state, cluster, network_id)
        if network is not None:
            yield CreateNetwork(network)


def removed_networks(state: ClusterState) -> Iterator[Action]:
    """Networks on which, since their removal, the last task has ended."""
    leaving = [network for network in state.networks.values() if network.removing]
    if leaving:
        used = {
            attachment.network_id
            for task in state.tasks.values()
            if not task.is_gone
            for attachment in task.attachments
        }
        yield from (RemoveNetwork(network.id) for network in leaving if network.id not in used)


def _carried(state: ClusterState, node: Node) -> dict[str, Network]:
    carried = {
        network.id: network
        for network in state.networks.values()
        if (network.ingress or network.attachable) and not network.removing
    }
    for task in state.tasks_on_node(node.id):
        if not task.is_gone:
            for attachment in task.attachments:
                network = state.networks.get(attachment.network_id)
                if network is not None:
                    carried[network.id] = network
    return carried
