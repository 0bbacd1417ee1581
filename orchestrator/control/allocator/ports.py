"""Published ports: the numbers users left open are filled in."""

from dataclasses import replace

from orchestrator.model.service import PortConfig, PublishMode, Service
from orchestrator.state.cluster_state import ClusterState

DYNAMIC_PORTS = range(30000, 32768)
"""Where open ingress ports are taken from (swarmkit `allocator/portallocator.go`)."""


def allocated_ports(state: ClusterState, service: Service) -> tuple[PortConfig, ...] | None:
    """The service's ports with numbers for those left open; numbers it had are kept. None: the range is full.

    Host-mode ports left open are the engine's to choose.
    """
    taken = _taken_by_others(state, service)
    taken |= {_key(port) for port in service.spec.ports if _is_ingress(port) and port.published_port}
    had = {replace(port, published_port=0): port for port in service.ports}
    ports = []
    for port in service.spec.ports:
        chosen: PortConfig | None = port
        if _is_ingress(port) and not port.published_port:
            kept = had.pop(port, None)
            chosen = kept if kept and _key(kept) not in taken else _first_free(port, taken)
        if chosen is None:
            return None
        if _is_ingress(chosen):
            taken.add(_key(chosen))
        ports.append(chosen)
    return tuple(ports)


def _first_free(port: PortConfig, taken: set[tuple[str, int]]) -> PortConfig | None:
    number = next((number for number in DYNAMIC_PORTS if (port.protocol, number) not in taken), None)
    return None if number is None else replace(port, published_port=number)


def _taken_by_others(state: ClusterState, service: Service) -> set[tuple[str, int]]:
    return {
        _key(port)
        for other in state.services.values()
        if other.id != service.id
        for port in (*other.ports, *other.spec.ports)
        if _is_ingress(port) and port.published_port
    }


def _is_ingress(port: PortConfig) -> bool:
    return port.publish_mode is PublishMode.INGRESS


def _key(port: PortConfig) -> tuple[str, int]:
    return (port.protocol, port.published_port)
