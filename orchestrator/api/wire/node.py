"""Node."""

from msgspec import field

from orchestrator.api.wire.common import Platform, Resources, StringMap, TLSInfo, Version, WireObject


class NodeSpec(WireObject):
    """What the operator wants of a node."""

    name: str = ""
    labels: StringMap | None = None
    role: str = ""
    availability: str = ""


class PluginDescription(WireObject):
    """A plugin of the node's engine."""

    type: str = ""
    name: str = ""


class EngineDescription(WireObject):
    """The node's engine."""

    engine_version: str = ""
    labels: StringMap = field(default_factory=dict)
    plugins: tuple[PluginDescription, ...] = ()


class NodeDescription(WireObject):
    """What the node says of itself."""

    hostname: str = ""
    platform: Platform | None = None
    resources: Resources | None = None
    engine: EngineDescription | None = None
    tls_info: TLSInfo | None = None


class NodeStatus(WireObject):
    """What the managers know of the node."""

    state: str = ""
    message: str = ""
    addr: str = ""


class ManagerStatus(WireObject):
    """A manager's part in the consensus."""

    leader: bool = False
    reachability: str = ""
    addr: str = ""


class Node(WireObject):
    """A node."""

    id: str
    version: Version
    created_at: str
    updated_at: str
    spec: NodeSpec
    description: NodeDescription
    status: NodeStatus
    manager_status: ManagerStatus | None = None
