"""Whether a valid service spec may enter the cluster as it is now.

Behaves as swarmkit's `manager/controlapi/service.go`. `state.apply` repeats what must hold at commit; here the
refusal gets the words users know. Pure.
"""

from collections.abc import Iterator

from orchestrator.model.errors import FailedPrecondition, InvalidArgument, NotSupported
from orchestrator.model.network import Network
from orchestrator.model.service import PortConfig, PublishMode, Service, ServiceSpec
from orchestrator.state.apply_files import check_files_exist
from orchestrator.state.apply_network import check_networks_exist
from orchestrator.state.cluster_state import ClusterState

_Ports = frozenset[tuple[str, int]]


def admit_service(state: ClusterState, spec: ServiceSpec, service: Service | None = None) -> None:
    """Raise the `ClusterError` for which the spec cannot become a new service, or `service`'s next spec."""
    _check_networks(state, spec)
    if service is not None:
        if service.spec.mode is not spec.mode:
            raise NotSupported("service mode change is not allowed")
        if service.name != spec.name:
            raise NotSupported("renaming services is not supported")
    check_files_exist(state, spec)
    if service is None or service.spec.endpoint != spec.endpoint:
        _check_ports(state, spec, service)


def admit_rollback(state: ClusterState, service: Service) -> None:
    """Raise the `ClusterError` for which there is no way back: no spec to go back to, or what it names is gone."""
    if service.previous_spec is None:
        raise FailedPrecondition(f"service {service.id} does not have a previous spec")
    check_networks_exist(state, service.previous_spec)
    check_files_exist(state, service.previous_spec)


def _check_networks(state: ClusterState, spec: ServiceSpec) -> None:
    # Before the mesh's network is first made there is none either: that is a matter of milliseconds.
    was_removed = state.ingress is None and state.cluster is not None and state.cluster.has_had_ingress
    if was_removed and any(port.publish_mode is PublishMode.INGRESS for port in spec.ports):
        raise FailedPrecondition("service needs ingress network, but no ingress network is present")
    for reference in spec.task.networks:
        network: Network | None = state.networks.get(reference.network_id)
        if network is not None and network.ingress:
            raise InvalidArgument(f'Service cannot be explicitly attached to the ingress network "{network.name}"')


def _check_ports(state: ClusterState, spec: ServiceSpec, service: Service | None) -> None:
    ingress = _published(spec, PublishMode.INGRESS)
    host = _published(spec, PublishMode.HOST)
    if not ingress and not host:
        return
    for other in state.services.values():
        if service is not None and other.id == service.id:
            continue
        for port in _ports_of(other):
            taken = (port.protocol, port.published_port)
            in_use = f"port '{port.published_port}' is already in use by service '{other.name}' ({other.id}) as"
            # Several services may publish one port in host mode: the scheduler keeps their tasks apart.
            if port.publish_mode is PublishMode.HOST and taken in ingress:
                raise InvalidArgument(f"{in_use} a host-published port")
            if port.publish_mode is PublishMode.INGRESS and (taken in ingress or taken in host):
                raise InvalidArgument(f"{in_use} an ingress port")


def _published(spec: ServiceSpec, mode: PublishMode) -> _Ports:
    return frozenset(
        (port.protocol, port.published_port) for port in spec.ports if port.publish_mode is mode and port.published_port
    )


def _ports_of(service: Service) -> Iterator[PortConfig]:
    for ports in (service.spec.ports, service.ports):
        for port in ports:
            if port.published_port:
                yield port
