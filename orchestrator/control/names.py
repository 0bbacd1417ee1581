"""What names mean on each network, derived from the state: zone files that are always whole.

A name leads to a task only while it serves on a ready node, by the very rule of the balancers: so a withdrawn task is
gone from the names with the revision that takes it out of the balancers, and a node's acknowledgement covers both.
Names of the routing mesh's own network do not exist, as in swarm mode.
"""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.model.names import NameClient, NamedService, NamedTask, NetworkNames
from orchestrator.model.network import Network
from orchestrator.model.node import Node
from orchestrator.model.service import EndpointMode, Service
from orchestrator.model.task import EndpointState, NetworkAttachment, Task, TaskState
from orchestrator.model.templates import expand_template
from orchestrator.state.cluster_state import ClusterState

_SHORT_ID_LENGTH = 12
"""Of a container's id, where a person or the container itself is to read it (moby's `pkg/stringid`)."""

_LEAVING = (EndpointState.WITHDRAWING, EndpointState.DRAINING)

CommonNames = Mapping[str, NetworkNames]
"""By network id: what is the same on every node."""


def names_for(state: ClusterState, node: Node, common: CommonNames | None = None) -> tuple[NetworkNames, ...]:
    """Names of the networks the node carries, ordered by network id, with the node's own tasks as clients.

    `common` is `common_names(state)`: hand it in to work it out only once for all nodes.
    """
    known = common_names(state) if common is None else common
    carried = [known[network_id] for network_id, _ in sorted(node.gateways) if network_id in known]
    if not carried:
        return ()
    own = sorted((task for task in state.tasks_on_node(node.id) if _is_here(task)), key=lambda task: task.id)
    clients = [(task, _is_confined(state, task)) for task in own]
    return tuple(_with_clients(names, clients) for names in carried)


def common_names(state: ClusterState) -> CommonNames:
    """The services and tasks of every network but the mesh's own."""
    networks = {network.id: network for network in state.networks.values() if not network.ingress}
    if not networks:
        return {}
    services: dict[str, list[NamedService]] = {network_id: [] for network_id in networks}
    tasks: dict[str, list[tuple[str, NamedTask]]] = {network_id: [] for network_id in networks}
    for service in state.services.values():
        for network_id, named in _named_services(state, service):
            if network_id in services:
                services[network_id].append(named)
    for task in state.tasks.values():
        if not _is_here(task):
            continue
        for attachment in task.attachments:
            if attachment.network_id in tasks:
                tasks[attachment.network_id].append((task.id, _named_task(state, task, attachment)))
    return {
        network_id: _network_names(network, services[network_id], tasks[network_id])
        for network_id, network in networks.items()
    }


def _network_names(network: Network, services: list[NamedService], tasks: list[tuple[str, NamedTask]]) -> NetworkNames:
    return NetworkNames(
        network_id=network.id,
        network_name=network.name,
        services=tuple(sorted(services, key=lambda named: named.name)),
        tasks=tuple(named for _, named in sorted(tasks, key=lambda item: item[0])),
    )


def _with_clients(names: NetworkNames, own: list[tuple[Task, bool]]) -> NetworkNames:
    """`own`: the node's tasks, and whether they are confined."""
    clients = (
        NameClient(task.id, attachment.address, _nameservers(task), is_confined)
        for task, is_confined in own
        for attachment in task.attachments
        if attachment.network_id == names.network_id
    )
    return replace(names, clients=tuple(clients))


def _is_confined(state: ClusterState, task: Task) -> bool:
    networks = (state.networks.get(attachment.network_id) for attachment in task.attachments)
    return all(network is not None and network.internal for network in networks)


def _named_services(state: ClusterState, service: Service) -> list[tuple[str, NamedService]]:
    """(network id, the service there) for each network its spec names or a serving task of it is still on."""
    serving = sorted((t for t in state.tasks_of_service(service.id) if _serves(state, t)), key=lambda task: task.id)
    addresses: dict[str, list[str]] = {reference.network_id: [] for reference in service.spec.task.networks}
    for task in serving:
        for attachment in task.attachments:
            addresses.setdefault(attachment.network_id, []).append(attachment.address)
    virtual = _virtual_addresses(service)
    aliases = _service_aliases(service)
    return [
        (network_id, NamedService(service.name, virtual.get(network_id, ""), tuple(found), aliases.get(network_id, ())))
        for network_id, found in addresses.items()
    ]


def _named_task(state: ClusterState, task: Task, attachment: NetworkAttachment) -> NamedTask:
    service = state.services.get(task.service_id)
    of_service = _service_aliases(service).get(attachment.network_id, ()) if service else ()
    own = tuple(alias for alias in attachment.aliases if alias not in of_service) if _serves(state, task) else ()
    hostnames = _hostnames(state, task)
    return NamedTask(task.container_name, attachment.address, own, hostnames, task.endpoint in _LEAVING, task.node_id)


def _hostnames(state: ClusterState, task: Task) -> tuple[str, ...]:
    """Not only while it serves: many a cluster's members have to find one another before any of them is ready.

    Docker gives them as aliases of the container's endpoint (moby's `daemon/container_operations.go`).
    """
    node = state.nodes.get(task.node_id)
    if node is None or not task.status.container_id:
        return ()
    # The engine has a container, so its agent has expanded this already.
    given = expand_template(task.spec.container.hostname, task, node.description)
    names = (task.status.container_id[:_SHORT_ID_LENGTH], given)
    return tuple(name for name in names if name)


def _virtual_addresses(service: Service) -> dict[str, str]:
    endpoint = service.spec.endpoint
    if endpoint is not None and endpoint.mode is EndpointMode.DNSRR:
        return {}
    return {network_id: address.partition("/")[0] for network_id, address in service.virtual_addresses}


def _service_aliases(service: Service) -> dict[str, tuple[str, ...]]:
    return {reference.network_id: reference.aliases for reference in service.spec.task.networks}


def _nameservers(task: Task) -> tuple[str, ...]:
    dns = task.spec.container.dns
    return dns.nameservers if dns else ()


def _serves(state: ClusterState, task: Task) -> bool:
    node = state.nodes.get(task.node_id)
    return task.endpoint is EndpointState.SERVING and node is not None and node.is_ready


def _is_here(task: Task) -> bool:
    """Whether it has a node and may have a container there: not yet ended, not yet released to be stopped."""
    return task.status.state >= TaskState.ASSIGNED and task.endpoint is not EndpointState.RELEASED
