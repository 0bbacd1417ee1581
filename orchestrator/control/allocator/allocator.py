"""Fills in what users leave to the cluster: the mesh's network, node gateways, published ports, task addresses.

Nothing here fails: what cannot be had is said in the task's status, and is given when something is freed.
"""

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.control.allocator.addresses import AddressPool
from orchestrator.control.allocator.networks import missing_gateways, missing_ingress, removed_networks
from orchestrator.control.allocator.ports import allocated_ports
from orchestrator.control.plan import NOTHING, Plan, Situation
from orchestrator.model.network import Network
from orchestrator.model.service import EndpointMode, PortConfig, PublishMode, Service
from orchestrator.model.task import NetworkAttachment, Task, TaskState
from orchestrator.state.actions import Action, AllocateService, AllocateTask, ExplainPending
from orchestrator.state.cluster_state import ClusterState

RETRY_S = 60.0
"""When to look again for what could not be had: what others gave back is mostly seen before."""


def reconcile(situation: Situation) -> Plan:
    """Allocate for the cluster, its nodes and services, or, when those have all, for new tasks."""
    state = situation.state
    if state.cluster is None:
        return NOTHING
    made = tuple(missing_ingress(state, state.cluster, situation.new_id())) if state.ingress is None else ()
    if made:
        return Plan(made)
    pools = Pools(state)
    gateways = missing_gateways(state, situation.nodes_to_connect)
    actions: list[Action] = [*removed_networks(state), *gateways.actions]
    wake_at = situation.now + RETRY_S if gateways.are_wanting else None
    if not actions:
        # One at a time: each takes ports and addresses the next must see.
        for service in situation.services:
            if not _has_all(state, service):
                actions.extend(_service(pools, service))
                if actions:
                    break
                wake_at = situation.now + RETRY_S
    if not actions:
        for task in state.waiting_tasks:
            if task.status.state is TaskState.NEW and task.is_wanted:
                actions.extend(_task(pools, task))
    return Plan(tuple(actions), wake_at) if actions or wake_at is not None else NOTHING


class Pools:
    """Address pools of the networks asked for, made when first needed."""

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self._pools: dict[str, AddressPool] = {}

    def of(self, network_id: str) -> AddressPool | None:
        """The network's pool; None when there is no such network."""
        network = self.state.networks.get(network_id)
        if network is None:
            return None
        if network_id not in self._pools:
            self._pools[network_id] = AddressPool(self.state, network)
        return self._pools[network_id]


def _has_all(state: ClusterState, service: Service) -> bool:
    """The usual case, seen without looking at other services."""
    asked = service.spec.ports
    given = service.ports
    if len(asked) != len(given) or not all(
        a in (g, replace(g, published_port=0)) for a, g in zip(asked, given, strict=True)
    ):
        return False
    if any(port.publish_mode is PublishMode.INGRESS and not port.published_port for port in given):
        return False
    return [network_id for network_id, _ in service.virtual_addresses] == _virtual_networks(state, service)


def _service(pools: Pools, service: Service) -> Iterator[Action]:
    ports = allocated_ports(pools.state, service)
    if ports is None:
        # The range is full: the service keeps what it has until another gives a port back.
        return
    virtual = tuple(_virtual_addresses(pools, service))
    if ports != service.ports or virtual != service.virtual_addresses:
        yield AllocateService(service.id, ports, virtual)


def _virtual_addresses(pools: Pools, service: Service) -> Iterator[tuple[str, str]]:
    """One for each network the service is to be reached on by name; a full network gives none."""
    had = dict(service.virtual_addresses)
    for task in pools.state.tasks_of_service(service.id):
        # The service left the network and is back before its tasks of then are gone: clients still use that address.
        if not task.is_gone:
            for attachment in task.attachments:
                network = pools.state.networks.get(attachment.network_id)
                if network is not None and attachment.virtual_address:
                    had.setdefault(network.id, _with_prefix(attachment.virtual_address, network))
    for network_id in _virtual_networks(pools.state, service):
        if network_id in had:
            yield network_id, had[network_id]
        elif (pool := pools.of(network_id)) is not None and (address := pool.next()) is not None:
            yield network_id, _with_prefix(address, pools.state.networks[network_id])


def _with_prefix(address: str, network: Network) -> str:
    return f"{address}/{network.subnet.partition('/')[2]}"


def _virtual_networks(state: ClusterState, service: Service) -> list[str]:
    """Ids of the networks on which the service has a virtual address, that of the mesh first."""
    if service.spec.endpoint is not None and service.spec.endpoint.mode is EndpointMode.DNSRR:
        return []
    mesh = [state.ingress.id] if state.ingress is not None and _is_in_mesh(service.spec.ports) else []
    own = [reference.network_id for reference in service.spec.task.networks if reference.network_id in state.networks]
    return list(dict.fromkeys((*mesh, *own)))


def _is_in_mesh(ports: tuple[PortConfig, ...]) -> bool:
    return any(port.publish_mode is PublishMode.INGRESS for port in ports)


def _task(pools: Pools, task: Task) -> Iterator[Action]:
    wanted = {reference.network_id: reference.aliases for reference in task.spec.networks}
    if pools.state.ingress is not None and _is_in_mesh(task.ports):
        wanted.setdefault(pools.state.ingress.id, ())
    service = pools.state.services.get(task.service_id)
    virtual = dict(service.virtual_addresses) if service is not None else {}
    attachments: list[NetworkAttachment] = []
    for network_id, aliases in wanted.items():
        pool = pools.of(network_id)
        address = pool.next() if pool else None
        if address is None:
            _give_back(pools, attachments)
            problem = "could not find an available IP address" if pool else "network not found"
            yield from _explain(task, f"{problem} while allocating network {network_id}")
            return
        reached_by = virtual.get(network_id, "").partition("/")[0]
        attachments.append(NetworkAttachment(network_id, address, aliases, reached_by))
    yield AllocateTask(task.id, tuple(attachments))


def _give_back(pools: Pools, attachments: list[NetworkAttachment]) -> None:
    for attachment in attachments:
        pool = pools.of(attachment.network_id)
        if pool is not None:
            pool.give_back(attachment.address)


def _explain(task: Task, error: str) -> Iterator[Action]:
    if task.status.error != error:
        yield ExplainPending(task.id, error)
