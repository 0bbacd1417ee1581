"""Task, and the network it is attached to."""

from orchestrator.api.wire.common import Driver, GenericResources, Int64, PortConfig, StringMap, Version, WireObject
from orchestrator.api.wire.service import TaskSpec


class IPAMConfig(WireObject):
    """A subnet."""

    subnet: str = ""
    gateway: str = ""


class IPAMOptions(WireObject):
    """Who gives out addresses, and which."""

    driver: Driver
    configs: tuple[IPAMConfig, ...] = ()


class NetworkSpec(WireObject):
    """A cluster network's settings."""

    name: str
    labels: StringMap | None = None
    driver_configuration: Driver | None = None
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    ipam_options: IPAMOptions | None = None
    scope: str = ""


class Network(WireObject):
    """A cluster network as tasks show it."""

    id: str
    version: Version
    created_at: str
    updated_at: str
    spec: NetworkSpec
    driver_state: Driver
    ipam_options: IPAMOptions


class NetworkAttachment(WireObject):
    """A task's place on a network."""

    network: Network
    addresses: tuple[str, ...] = ()


class ContainerStatus(WireObject, omit_defaults=False):
    """The task's container."""

    container_id: str
    pid: Int64
    exit_code: Int64


class PortStatus(WireObject):
    """Host-mode ports in use."""

    ports: tuple[PortConfig, ...] = ()


class TaskStatus(WireObject):
    """How the task stands."""

    timestamp: str
    state: str
    message: str = ""
    err: str = ""
    container_status: ContainerStatus | None = None
    port_status: PortStatus | None = None


class Task(WireObject):
    """A task."""

    id: str
    version: Version
    created_at: str
    updated_at: str
    spec: TaskSpec
    status: TaskStatus
    labels: StringMap | None = None
    service_id: str = ""
    slot: Int64 = 0
    node_id: str = ""
    desired_state: str = ""
    assigned_generic_resources: GenericResources = ()
    networks_attachments: tuple[NetworkAttachment, ...] = ()
    job_iteration: Version | None = None
    volumes: tuple[str, ...] | None = None
