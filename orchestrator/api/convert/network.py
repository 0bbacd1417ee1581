"""A cluster network in Docker's JSON: as users ask for it, as they see it, and as tasks show it."""

from collections.abc import Iterable, Mapping

from orchestrator.api.convert.units import labels, timestamp
from orchestrator.api.errors import BadRequest
from orchestrator.api.wire import task as wire
from orchestrator.api.wire.common import Driver, JSONObject, Version
from orchestrator.api.wire.network import IPAMConfig as IPAMRequest
from orchestrator.api.wire.network import NetworkCreate
from orchestrator.control.network_admission import NetworkWish
from orchestrator.model.network import AttachedNetwork, BalancedService, Network
from orchestrator.model.subnets import subnet_of
from orchestrator.state.cluster_state import ClusterState

_VNI_OPTION = "com.docker.network.driver.overlay.vxlanid_list"


def network_to_wire(network: Network) -> wire.Network:
    """A network of the cluster."""
    ipam = _ipam(network)
    return wire.Network(
        id=network.id,
        version=Version(index=network.version),
        created_at=timestamp(network.created_at),
        updated_at=timestamp(network.updated_at),
        spec=wire.NetworkSpec(
            name=network.name,
            labels=dict(network.labels),
            driver_configuration=Driver(name=network.driver, options=dict(network.options)),
            internal=network.internal,
            attachable=network.attachable,
            ingress=network.ingress,
            ipam_options=ipam,
            scope="swarm",
        ),
        driver_state=Driver(name=network.driver, options={_VNI_OPTION: str(network.vni)}),
        ipam_options=ipam,
    )


def _ipam(network: Network) -> wire.IPAMOptions:
    config = wire.IPAMConfig(subnet=network.subnet, gateway=_shown_gateway(network))
    return wire.IPAMOptions(driver=Driver(name="default"), configs=(config,))


def wish_from_wire(body: NetworkCreate) -> NetworkWish:
    """What a request asks for. Raises `BadRequest` for what overlay networks of this cluster cannot be."""
    if body.driver not in ("", "overlay"):
        raise BadRequest(f"driver {body.driver} is not supported for swarm-scoped networks: use overlay")
    if body.config_only or body.config_from.get("Network"):
        raise BadRequest("configuration-only networks are not supported in swarm scope")
    if body.ipam.driver not in ("", "default"):
        raise BadRequest(f"IPAM driver {body.ipam.driver} is not supported for overlay networks")
    configs = [config for config in body.ipam.config if config != IPAMRequest()]
    if body.enable_ipv6 or any(":" in config.subnet for config in configs):
        raise BadRequest("overlay networks of this cluster are IPv4 only")
    if len(configs) > 1:
        raise BadRequest("overlay networks of this cluster have one subnet")
    config = configs[0] if configs else IPAMRequest()
    return NetworkWish(
        name=body.name,
        subnet=config.subnet,
        gateway=config.gateway,
        address_range=config.ip_range,
        reserved_addresses=labels(config.auxiliary_addresses),
        attachable=body.attachable,
        internal=body.internal,
        ingress=body.ingress,
        labels=labels(body.labels),
        options=tuple(sorted((key, str(value)) for key, value in body.options.items())),
    )


def network_from_attached(attached: AttachedNetwork) -> Network:
    """A network as far as a worker that carries it knows it."""
    return Network(
        attached.network_id,
        attached.name,
        attached.subnet,
        attached.vni,
        ingress=attached.ingress,
        attachable=attached.attachable,
        internal=attached.internal,
        labels=attached.labels,
        options=attached.options,
        created_at=attached.created_at,
    )


def resource_of(network: Network) -> JSONObject:
    """The network as `GET /networks` shows it."""
    config: JSONObject = {"Subnet": network.subnet, "Gateway": _shown_gateway(network)}
    if network.address_range:
        config["IPRange"] = network.address_range
    if network.reserved_addresses:
        config["AuxiliaryAddresses"] = dict(network.reserved_addresses)
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": timestamp(network.created_at),
        "Scope": "swarm",
        "Driver": network.driver,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": [config]},
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": network.ingress,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": None,
        "Options": {**dict(network.options), _VNI_OPTION: str(network.vni)},
        "Labels": dict(network.labels) or None,
    }


def peers_of(network_id: str, state: ClusterState) -> list[JSONObject]:
    """The nodes that carry the network."""
    return [
        {"Name": node.id[:12], "IP": node.address}
        for node in sorted(state.nodes.values(), key=lambda node: node.id)
        if any(carried == network_id for carried, _ in node.gateways)
    ]


def services_on(network_id: str, services: Iterable[BalancedService], addresses: Mapping[str, str]) -> JSONObject:
    """Service name -> its virtual address, ports and tasks there; `addresses` are those of nodes, by node id."""
    found = {}
    for service in services:
        tasks = [
            {
                "Name": f"{endpoint.task_name}.{endpoint.task_id}",
                "EndpointID": endpoint.task_id,
                "EndpointIP": address,
                "Info": {"Host IP": addresses.get(endpoint.node_id, "")},
            }
            for endpoint in sorted(service.endpoints, key=lambda endpoint: endpoint.task_name)
            if (address := endpoint.address_on(network_id)) is not None
        ]
        virtual = dict(service.virtual_addresses).get(network_id)
        if tasks or virtual is not None:
            found[service.service_name] = {
                "VIP": virtual or "",
                "Ports": [f"Target: {port.target_port}, Publish: {port.published_port}" for port in service.ports],
                "LocalLBIndex": 0,
                "Tasks": tasks,
            }
    return found


def _shown_gateway(network: Network) -> str:
    return network.gateway or str(next(subnet_of(network.subnet).hosts()))
