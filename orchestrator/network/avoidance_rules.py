"""What a node's balancers and names are while it holds other nodes dead: the configuration without what is there.

Where nothing would be left, what there is stays: a wrong verdict must not turn a slow service into none (Kubernetes
learned it with terminating endpoints, KEP-1669). What is left out lingers: it may answer yet, until the managers too
have declared its node down. Then it is gone, so that whoever waits for an answer is told at once, by a reset, rather
than by a timeout of its own. Neither is enough alone: a node declared down because it is late serves on.

Draining endpoints are untouched, and so is the revision: what the managers wait for is the same with and without a
verdict.

Pure.
"""

from collections.abc import Sequence, Set
from dataclasses import replace

from orchestrator.model.names import NamedService, NamedTask, NetworkNames
from orchestrator.model.network import BalancedService, Endpoint, NetworkConfiguration


def without_nodes(configuration: NetworkConfiguration, dead: Set[str]) -> NetworkConfiguration:
    """The configuration with no new connection going to tasks on those nodes, as far as others serve.

    Of those that the managers hold down as well no connection is kept.
    """
    if not dead:
        return configuration
    gone = dead & set(configuration.down)
    return replace(
        configuration,
        services=tuple(_without_gone(_balanced(service, dead), gone) for service in configuration.services),
        names=tuple(_named(names, dead) for names in configuration.names),
    )


def _balanced(service: BalancedService, dead: Set[str]) -> BalancedService:
    left = tuple(endpoint for endpoint in service.endpoints if endpoint.node_id not in dead)
    if len(left) == len(service.endpoints) or _reach(service, left) != _reach(service, service.endpoints):
        return service
    avoided = tuple(endpoint for endpoint in service.endpoints if endpoint.node_id in dead)
    return replace(service, endpoints=left, lingering=(*service.lingering, *avoided))


def _without_gone(service: BalancedService, gone: Set[str]) -> BalancedService:
    return replace(service, lingering=tuple(left for left in service.lingering if left.node_id not in gone))


def _reach(service: BalancedService, endpoints: Sequence[Endpoint]) -> tuple[list[bool], list[str]]:
    """Which of the service's ports, and which networks, any of the endpoints serves."""
    on_mesh = [endpoint for endpoint in endpoints if endpoint.address]
    ports = [any(endpoint.target_of(port) is not None for endpoint in on_mesh) for port in service.ports]
    return ports, sorted({network_id for endpoint in endpoints for network_id, _ in endpoint.addresses})


def _named(names: NetworkNames, dead: Set[str]) -> NetworkNames:
    lost = {task.address for task in names.tasks if task.node_id in dead}
    if not lost:
        return names
    living = [task for task in names.tasks if task.node_id not in dead]
    served = {name for task in living for name in (*task.aliases, *task.hostnames)}
    return replace(
        names,
        services=tuple(_without_addresses(service, lost) for service in names.services),
        tasks=tuple(_without_shared(task, served) if task.node_id in dead else task for task in names.tasks),
    )


def _without_addresses(service: NamedService, lost: Set[str]) -> NamedService:
    left = tuple(address for address in service.addresses if address not in lost)
    return replace(service, addresses=left) if left else service


def _without_shared(task: NamedTask, served: Set[str]) -> NamedTask:
    """The task's own name still says where it is; names that others answer to as well do not lead there."""
    return replace(
        task,
        aliases=tuple(alias for alias in task.aliases if alias not in served),
        hostnames=tuple(hostname for hostname in task.hostnames if hostname not in served),
    )
