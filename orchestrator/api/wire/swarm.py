"""The cluster as a whole, and the requests to found, join and unlock one."""

from orchestrator.api.wire.common import Driver, Int64, JSONObject, StringMap, TLSInfo, UInt64, Version, WireObject


class OrchestrationConfig(WireObject):
    """Task history."""

    task_history_retention_limit: Int64 | None = None


class RaftConfig(WireObject):
    """Consensus settings; ticks are always written."""

    snapshot_interval: UInt64 = 0
    keep_old_snapshots: UInt64 | None = None
    log_entries_for_slow_followers: UInt64 = 0
    election_tick: Int64 | None = None
    heartbeat_tick: Int64 | None = None


class DispatcherConfig(WireObject):
    """Heartbeats."""

    heartbeat_period: Int64 = 0


class CAConfig(WireObject):
    """Certificates."""

    node_cert_expiry: Int64 = 0
    external_cas: tuple[JSONObject, ...] = ()
    signing_ca_cert: str = ""
    signing_ca_key: str = ""
    force_rotate: UInt64 = 0


class EncryptionConfig(WireObject):
    """Locking of managers' logs."""

    auto_lock_managers: bool | None = None


class TaskDefaults(WireObject):
    """Defaults of new tasks; Docker itself reads and forgets them."""

    log_driver: Driver | None = None


class SwarmSpec(WireObject):
    """The cluster's settings."""

    name: str = ""
    labels: StringMap | None = None
    orchestration: OrchestrationConfig | None = None
    raft: RaftConfig | None = None
    dispatcher: DispatcherConfig | None = None
    ca_config: CAConfig | None = None
    task_defaults: TaskDefaults | None = None
    encryption_config: EncryptionConfig | None = None


class JoinTokens(WireObject, omit_defaults=False):
    """The secrets by which nodes join."""

    worker: str
    manager: str


class ClusterInfo(WireObject):
    """The cluster; with `JoinTokens` it is what `GET /swarm` answers."""

    id: str
    version: Version
    created_at: str
    updated_at: str
    spec: SwarmSpec
    tls_info: TLSInfo
    root_rotation_in_progress: bool
    default_addr_pool: tuple[str, ...] | None
    subnet_size: Int64
    data_path_port: Int64
    join_tokens: JoinTokens | None = None


class Peer(WireObject, omit_defaults=False):
    """A manager as any node knows it."""

    node_id: str
    addr: str


class Info(WireObject):
    """The section `Swarm` of `GET /info`."""

    node_id: str
    node_addr: str
    local_node_state: str
    control_available: bool
    error: str
    remote_managers: tuple[Peer, ...] | None
    nodes: Int64 = 0
    managers: Int64 = 0
    cluster: ClusterInfo | None = None
    warnings: tuple[str, ...] = ()


class InitRequest(WireObject, omit_defaults=False):
    """`POST /swarm/init`."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    data_path_port: Int64 = 0
    force_new_cluster: bool = False
    spec: SwarmSpec | None = None
    auto_lock_managers: bool = False
    availability: str = ""
    default_addr_pool: tuple[str, ...] = ()
    subnet_size: Int64 = 0


class JoinRequest(WireObject, omit_defaults=False):
    """`POST /swarm/join`."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    remote_addrs: tuple[str, ...] = ()
    join_token: str = ""
    availability: str = ""


class UnlockRequest(WireObject, omit_defaults=False):
    """`POST /swarm/unlock`."""

    unlock_key: str = ""
