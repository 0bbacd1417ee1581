"""What each node's data plane and agent should have, derived from the state: a whole, never a difference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from orchestrator.control.names import CommonNames, names_for
from orchestrator.model.network import (
    DEFAULT_DATA_PATH_PORT,
    AttachedNetwork,
    BalancedService,
    Endpoint,
    Network,
    NetworkConfiguration,
    Peer,
)
from orchestrator.model.node import Node, NodeState
from orchestrator.model.service import PortConfig, PublishMode, Service
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state.cluster_state import ClusterState


def configuration_for(
    state: ClusterState,
    node_id: str,
    services: tuple[BalancedService, ...] | None = None,
    names: CommonNames | None = None,
) -> NetworkConfiguration:
    """The node's network configuration at the state's revision.

    `services` is `balanced_services(state)` and `names` is `common_names(state)`, the same for all nodes: hand them in
    to work them out only once.
    """
    node = state.nodes.get(node_id)
    return NetworkConfiguration(
        revision=state.network_revision,
        networks=_networks_of(state, node) if node else (),
        peers=_peers_of(state, node_id),
        services=balanced_services(state) if services is None else services,
        names=names_for(state, node, names) if node else (),
        data_path_port=state.cluster.data_path_port if state.cluster else DEFAULT_DATA_PATH_PORT,
        down=tuple(sorted(other.id for other in state.nodes.values() if other.state is NodeState.DOWN)),
    )


def tasks_for(state: ClusterState, node_id: str) -> tuple[Task, ...]:
    """Every task assigned to the node and not yet forgotten; ended ones too, whose containers keep their logs."""
    return tuple(task for task in state.tasks_on_node(node_id) if task.status.state >= TaskState.ASSIGNED)


def balanced_services(state: ClusterState) -> tuple[BalancedService, ...]:
    """Services that publish ports in the mesh or have a virtual address, and what still drains, by service id."""
    return tuple(
        service
        for service in reached_services(state)
        if service.ports or service.virtual_addresses or service.draining or service.lingering
    )


def reached_services(state: ClusterState) -> Iterator[BalancedService]:
    """All services by id, those too whose tasks are found by their names alone and by no balancer."""
    groups = {service_id: _Reached() for service_id in state.services}
    for service_id, reached in groups.items():
        for task in state.tasks_of_service(service_id):
            if task.endpoint is EndpointState.SERVING:
                (reached.serving if _is_heard_of(state, task) else reached.lingering).append(task)
    for task in state.leaving_tasks:
        groups.setdefault(task.service_id, _Reached()).draining.append(task)
    for task in state.stopping_tasks:
        groups.setdefault(task.service_id, _Reached()).lingering.append(task)
    return (_balanced(state, service_id, groups[service_id]) for service_id in sorted(groups))


@dataclass(slots=True)
class _Reached:
    """Tasks of a service that a node has connections to, or may begin one to."""

    serving: list[Task] = field(default_factory=list)
    draining: list[Task] = field(default_factory=list)
    lingering: list[Task] = field(default_factory=list)


def _balanced(state: ClusterState, service_id: str, reached: _Reached) -> BalancedService:
    service = state.services.get(service_id)
    ports = tuple(port for port in service.ports if port.publish_mode is PublishMode.INGRESS) if service else ()
    return BalancedService(
        service_id,
        service.name if service else (*reached.draining, *reached.lingering)[0].service_name,
        ports,
        _endpoints(state, reached.serving, ports),
        _endpoints(state, reached.draining, ports),
        _virtual_addresses(state, service, (*reached.serving, *reached.draining)),
        _endpoints(state, reached.lingering, ports),
    )


def _virtual_addresses(
    state: ClusterState, service: Service | None, tasks: Sequence[Task]
) -> tuple[tuple[str, str], ...]:
    """Those of the service, and those its tasks were reached by when they were made."""
    own = service.virtual_addresses if service else ()
    addresses = [(network_id, address.partition("/")[0]) for network_id, address in own]
    addresses += [
        (attachment.network_id, attachment.virtual_address)
        for task in tasks
        for attachment in task.attachments
        if attachment.virtual_address
    ]
    # Nobody asks for a service by name on the mesh's own network.
    meshes = [network.id for network in state.networks.values() if network.ingress]
    return tuple(sorted(dict.fromkeys(pair for pair in addresses if pair[0] not in meshes)))


def _is_heard_of(state: ClusterState, task: Task) -> bool:
    node = state.nodes.get(task.node_id)
    return node is not None and node.is_ready


def _endpoints(state: ClusterState, tasks: list[Task], ports: tuple[PortConfig, ...]) -> tuple[Endpoint, ...]:
    """Those of the tasks that are on any network, by task id."""
    return tuple(_endpoint(state, task, ports) for task in sorted(tasks, key=lambda task: task.id) if task.attachments)


def _endpoint(state: ClusterState, task: Task, ports: tuple[PortConfig, ...]) -> Endpoint:
    addresses = tuple((attachment.network_id, attachment.address) for attachment in task.attachments)
    on_mesh = dict(addresses).get(state.ingress.id, "") if state.ingress else ""
    return Endpoint(task.id, task.name, task.node_id, on_mesh, addresses, _deviating_ports(task, ports))


def _deviating_ports(task: Task, ports: tuple[PortConfig, ...]) -> tuple[tuple[str, int, int], ...]:
    targets = ((port, _target(task, port)) for port in ports)
    return tuple((port.protocol, port.published_port, target) for port, target in targets if target != port.target_port)


def _target(task: Task, port: PortConfig) -> int:
    """Where the task listens for what comes to the service's published port; 0 when it does not."""
    own = [other for other in task.ports if other.protocol == port.protocol]
    for other in own:
        if other.publish_mode is PublishMode.INGRESS and other.published_port == port.published_port:
            return other.target_port
    # It serves under a number that was given or changed after it was made, as long as it listens there at all.
    return port.target_port if any(other.target_port == port.target_port for other in own) else 0


def _networks_of(state: ClusterState, node: Node) -> tuple[AttachedNetwork, ...]:
    ranges = dict(node.attachment_ranges)
    return tuple(
        _attached(network, gateway, ranges.get(network_id, ""))
        for network_id, gateway in sorted(node.gateways)
        if (network := state.networks.get(network_id)) is not None
    )


def _attached(network: Network, gateway: str, attachment_range: str) -> AttachedNetwork:
    return AttachedNetwork(
        network.id,
        network.name,
        network.subnet,
        network.vni,
        gateway,
        internal=network.internal,
        attachable=network.attachable,
        attachment_range=attachment_range,
        ingress=network.ingress,
        labels=network.labels,
        options=network.options,
        created_at=network.created_at,
    )


def _peers_of(state: ClusterState, node_id: str) -> tuple[Peer, ...]:
    """The other nodes, one per address: a machine that joined again has an old entry beside its new one."""
    own = state.nodes.get(node_id)
    by_address: dict[str, Node] = {}
    members = [node for node in state.nodes.values() if node.is_ready or not node.is_leaving]
    for node in sorted(members, key=lambda node: (node.is_ready, node.created_at)):
        by_address[node.address] = node
    if own is not None:
        by_address.pop(own.address, None)
    others = sorted(by_address.values(), key=lambda other: other.id)
    return tuple(Peer(other.id, other.address) for other in others if other.id != node_id)
