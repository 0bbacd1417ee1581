"""Service and task template."""

from msgspec import UNSET, UnsetType, field

from orchestrator.api.wire.common import (
    Driver,
    Int64,
    JSONObject,
    Platform,
    PortConfig,
    Resources,
    StringMap,
    UInt32,
    UInt64,
    Version,
    WireObject,
)


class BindOptions(WireObject):
    """How a path of the node is mounted."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class VolumeOptions(WireObject):
    """The volume that is made where there is none."""

    no_copy: bool = False
    labels: StringMap = field(default_factory=dict)
    driver_config: Driver | None = None
    subpath: str = ""


class TmpfsOptions(WireObject):
    """A file system in memory."""

    size_bytes: Int64 = 0
    mode: UInt32 = 0


class Mount(WireObject):
    """A mount."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    cluster_options: JSONObject | None = None


class HealthConfig(WireObject):
    """A healthcheck; 0 = the image's value."""

    test: tuple[str, ...] = ()
    interval: Int64 = 0
    timeout: Int64 = 0
    start_period: Int64 = 0
    start_interval: Int64 = 0
    retries: Int64 = 0


class DNSConfig(WireObject):
    """Resolver settings."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class FileTarget(WireObject):
    """Where a secret or config is mounted."""

    name: str = ""
    uid: str = ""
    gid: str = ""
    mode: UInt32 = 0


class SecretReference(WireObject):
    """A secret of a task."""

    file: FileTarget | None = None
    secret_id: str = ""
    secret_name: str = ""


class ConfigReference(WireObject):
    """A config of a task: mounted (`File`) or for the engine (`Runtime`)."""

    file: FileTarget | None = None
    runtime: JSONObject | None = None
    config_id: str = ""
    config_name: str = ""


class Ulimit(WireObject, omit_defaults=False):
    """A limit of the container's processes."""

    name: str = ""
    hard: Int64 = 0
    soft: Int64 = 0


class CredentialSpec(WireObject):
    """Windows alone has it."""

    config: str = ""
    file: str = ""
    registry: str = ""


class SELinuxContext(WireObject, omit_defaults=False):
    """SELinux labels of the container's processes."""

    disable: bool = False
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SeccompOpts(WireObject):
    """Which system calls there are; the profile in base64."""

    mode: str = ""
    profile: str = ""


class AppArmorOpts(WireObject):
    """Whether AppArmor confines the container."""

    mode: str = ""


class Privileges(WireObject, omit_defaults=False):
    """Security options."""

    credential_spec: CredentialSpec | None = None
    selinux_context: SELinuxContext | None = field(default=None, name="SELinuxContext")
    seccomp: SeccompOpts | UnsetType = UNSET
    app_armor: AppArmorOpts | UnsetType = UNSET
    no_new_privileges: bool = False


class ContainerSpec(WireObject):
    """What the container is made of."""

    image: str = ""
    labels: StringMap = field(default_factory=dict)
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    hostname: str = ""
    env: tuple[str, ...] = ()
    dir: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    privileges: Privileges | None = None
    init: bool | None = None
    stop_signal: str = ""
    tty: bool = False
    open_stdin: bool = False
    read_only: bool = False
    mounts: tuple[Mount, ...] = ()
    stop_grace_period: Int64 | None = None
    healthcheck: HealthConfig | None = None
    hosts: tuple[str, ...] = ()
    dns_config: DNSConfig | None = None
    secrets: tuple[SecretReference, ...] = ()
    configs: tuple[ConfigReference, ...] = ()
    isolation: str = ""
    sysctls: StringMap = field(default_factory=dict)
    capability_add: tuple[str, ...] = ()
    capability_drop: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adj: Int64 = 0


class Limit(WireObject):
    """What a task may use at most."""

    nano_cpus: Int64 = 0
    memory_bytes: Int64 = 0
    pids: Int64 = 0


class ResourceRequirements(WireObject):
    """Limits and reservations."""

    limits: Limit | None = None
    reservations: Resources | None = None


class RestartPolicy(WireObject):
    """When an ended task is replaced."""

    condition: str = ""
    delay: Int64 | None = None
    max_attempts: UInt64 | None = None
    window: Int64 | None = None


class SpreadOver(WireObject, omit_defaults=False):
    """A label to spread over."""

    spread_descriptor: str = ""


class PlacementPreference(WireObject):
    """One placement preference."""

    spread: SpreadOver | None = None


class Placement(WireObject):
    """Where tasks may run."""

    constraints: tuple[str, ...] = ()
    preferences: tuple[PlacementPreference, ...] = ()
    max_replicas: UInt64 = 0
    platforms: tuple[Platform, ...] = ()


class NetworkAttachmentConfig(WireObject):
    """A network a task joins."""

    target: str = ""
    aliases: tuple[str, ...] = ()
    driver_opts: StringMap = field(default_factory=dict)


class TaskSpec(WireObject):
    """The task template."""

    container_spec: ContainerSpec | None = None
    plugin_spec: JSONObject | None = None
    network_attachment_spec: JSONObject | None = None
    resources: ResourceRequirements | None = None
    restart_policy: RestartPolicy | None = None
    placement: Placement | None = None
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    log_driver: Driver | None = None
    force_update: UInt64 | None = None
    runtime: str = ""


class ReplicatedService(WireObject):
    """So many tasks."""

    replicas: UInt64 | None = None


class ReplicatedJob(WireObject):
    """So many completed tasks."""

    max_concurrent: UInt64 | None = None
    total_completions: UInt64 | None = None


class GlobalService(WireObject, omit_defaults=False):
    """One task per node."""


class ServiceMode(WireObject):
    """Exactly one of four."""

    replicated: ReplicatedService | None = None
    global_: GlobalService | None = None
    replicated_job: ReplicatedJob | None = None
    global_job: GlobalService | None = None


class UpdateConfig(WireObject):
    """How tasks are replaced."""

    parallelism: UInt64 | None = None
    delay: Int64 = 0
    failure_action: str = ""
    monitor: Int64 = 0
    max_failure_ratio: float | None = None
    order: str = ""


class EndpointSpec(WireObject):
    """How the service is reached."""

    mode: str = ""
    ports: tuple[PortConfig, ...] = ()


class ServiceSpec(WireObject):
    """What the user asks for."""

    name: str = ""
    labels: StringMap | None = None
    task_template: TaskSpec | None = None
    mode: ServiceMode | None = None
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    """Deprecated since API 1.44: read, where the template names no network, and never written."""
    endpoint_spec: EndpointSpec | None = None


class VirtualIP(WireObject):
    """The service's address on a network."""

    network_id: str = ""
    addr: str = ""


class Endpoint(WireObject):
    """How the service is reached in fact."""

    spec: EndpointSpec | None = None
    ports: tuple[PortConfig, ...] = ()
    virtual_ips: tuple[VirtualIP, ...] = ()


class UpdateStatus(WireObject):
    """How the last update stands."""

    state: str = ""
    started_at: str | None = None
    completed_at: str | None = None
    message: str = ""


class ServiceStatus(WireObject, omit_defaults=False):
    """Counts of tasks."""

    running_tasks: Int64
    desired_tasks: Int64
    completed_tasks: Int64


class JobStatus(WireObject, omit_defaults=False):
    """Which execution of a job runs."""

    job_iteration: Version
    last_execution: str


class Service(WireObject):
    """A service."""

    id: str
    version: Version
    created_at: str
    updated_at: str
    spec: ServiceSpec
    previous_spec: ServiceSpec | None = None
    endpoint: Endpoint | None = None
    update_status: UpdateStatus | None = None
    service_status: ServiceStatus | None = None
    job_status: JobStatus | None = None
