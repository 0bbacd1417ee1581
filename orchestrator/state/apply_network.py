"""What actions on networks do to the state."""

from dataclasses import replace

from orchestrator.model.errors import AlreadyExists, FailedPrecondition, Forbidden, NotFound
from orchestrator.model.network import Network
from orchestrator.model.service import PublishMode, ServiceSpec
from orchestrator.model.subnets import overlaps
from orchestrator.state import actions as act
from orchestrator.state.change import Change
from orchestrator.state.cluster_state import ClusterState


def create_network(change: Change, action: act.CreateNetwork) -> None:
    """Add a network; its name, subnet and VXLAN number must be free, and there is one mesh."""
    network = action.network
    state = change.state
    if state.network_named(network.name) is not None:
        raise AlreadyExists(f"network with name {network.name} already exists")
    if network.ingress and (other := state.ingress) is not None:
        raise AlreadyExists(f"ingress network ({other.id}) is already present")
    if any(overlaps(network.subnet, other.subnet) for other in state.networks.values()):
        raise Forbidden("Pool overlaps with other one on this address space")
    if any(network.vni == other.vni for other in state.networks.values()):
        raise FailedPrecondition(f"VXLAN network identifier {network.vni} is in use")
    state.put_network(replace(network, created_at=change.at, updated_at=change.at, version=change.index))
    if network.ingress and state.cluster is not None:
        state.cluster = replace(state.cluster, has_had_ingress=True)
    change.touch_network()


def remove_network(change: Change, action: act.RemoveNetwork) -> None:
    """Forget a network that nothing uses.

    Tasks that are leaving do not count, as in swarm mode: for their sake the network is carried until they are over.
    """
    network = change.state.network(action.network_id)
    for service in change.state.services.values():
        _check_unused(network, service.spec, service.id)
    attached = [
        task
        for task in change.state.tasks.values()
        if not task.is_gone and any(attachment.network_id == network.id for attachment in task.attachments)
    ]
    for task in attached:
        if task.is_live:
            raise FailedPrecondition(f"network {network.id} is in use by task {task.id}")
    if attached:
        change.state.put_network(replace(network, removing=True, version=change.index))
    else:
        _forget(change, network)
    change.touch_network()


def check_networks_exist(state: ClusterState, spec: ServiceSpec) -> None:
    """Raise `NotFound` when a network the spec names is gone, or is going."""
    for reference in spec.task.networks:
        network = state.networks.get(reference.network_id)
        if network is None or network.removing:
            raise NotFound(f"network {reference.network_id} not found")


def _check_unused(network: Network, spec: ServiceSpec, service_id: str) -> None:
    if any(reference.network_id == network.id for reference in spec.task.networks):
        raise FailedPrecondition(f"network {network.id} is in use by service {service_id}")
    if network.ingress and any(port.publish_mode is PublishMode.INGRESS for port in spec.ports):
        raise FailedPrecondition(f"ingress network cannot be removed because service {service_id} depends on it")


def _forget(change: Change, network: Network) -> None:
    change.state.delete_network(network.id)
    for node in list(change.state.nodes.values()):
        gateways = tuple(pair for pair in node.gateways if pair[0] != network.id)
        ranges = tuple(pair for pair in node.attachment_ranges if pair[0] != network.id)
        if gateways != node.gateways:
            change.state.put_node(replace(node, gateways=gateways, attachment_ranges=ranges, version=change.index))
