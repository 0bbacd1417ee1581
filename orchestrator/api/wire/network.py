"""What a request to create, attach to or leave a network says."""

from typing import Any

from msgspec import field

from orchestrator.api.wire.common import JSONObject, StringMap, WireObject


class IPAMConfig(WireObject):
    """A subnet as asked for."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    auxiliary_addresses: StringMap = field(default_factory=dict)


class IPAM(WireObject):
    """Who gives out addresses, and which."""

    driver: str = ""
    config: tuple[IPAMConfig, ...] = ()
    options: StringMap = field(default_factory=dict)


class NetworkCreate(WireObject):
    """The body of `POST /networks/create`, as far as cluster networks have it."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    enable_ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: JSONObject = field(default_factory=dict)
    ipam: IPAM = field(default_factory=IPAM)
    options: dict[str, Any] = field(default_factory=dict)
    labels: StringMap = field(default_factory=dict)

    @property
    def is_of_swarm(self) -> bool:
        """Whether it is the cluster's to create, and not the node's engine's."""
        return self.driver == "overlay" or self.scope == "swarm" or self.ingress


class EndpointIPAMConfig(WireObject):
    """Addresses a container is to have on a network."""

    ipv4_address: str = ""


class EndpointSettings(WireObject):
    """A container's place on a network, as far as the cluster looks at it."""

    ipam_config: EndpointIPAMConfig | None = None


class NetworkConnect(WireObject):
    """The body of `POST /networks/{id}/connect`, as far as the cluster looks at it."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None
