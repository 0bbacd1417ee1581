"""What a service's container is made of: Docker's ContainerSpec and its parts.

Durations are seconds (float). Optional values are None or empty where the user said nothing.
"""

from dataclasses import dataclass

from orchestrator.model.labels import Labels

DEFAULT_STOP_GRACE_PERIOD_S = 10.0
"""swarmkit `api/defaults/service.go`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume, bind or tmpfs of a task.

    `options` holds Docker's BindOptions, VolumeOptions or TmpfsOptions as JSON text, passed through to the engine.
    """

    type: str
    target: str
    source: str = ""
    read_only: bool = False
    consistency: str = ""
    options: str = ""


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """A healthcheck; None where the image's own value holds. Seconds."""

    test: tuple[str, ...] = ()
    interval: float | None = None
    timeout: float | None = None
    start_period: float | None = None
    start_interval: float | None = None
    retries: int | None = None

    @property
    def is_disabled(self) -> bool:
        """`--no-healthcheck`."""
        return self.test[:1] == ("NONE",)


@dataclass(frozen=True, slots=True)
class FileReference:
    """A secret or config mounted into a task."""

    object_id: str
    object_name: str
    target: str
    uid: str = "0"
    gid: str = "0"
    mode: int = 0o444
    runtime: bool = False
    """Configs: used by the engine itself (a credential spec), not mounted; `target` is then empty."""


@dataclass(frozen=True, slots=True)
class DNSConfig:
    """Resolver settings of a container."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ulimit:
    """One resource limit of a container's processes."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What the container is made of."""

    image: str
    labels: Labels = ()
    command: tuple[str, ...] = ()
    """Overrides the image's entrypoint (Docker's field name `Command`)."""
    args: tuple[str, ...] = ()
    """Overrides the image's command (Docker's field name `Args`)."""
    hostname: str = ""
    env: tuple[str, ...] = ()
    directory: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    privileges: str = ""
    """Docker's Privileges object as JSON text: passed through to the engine, never interpreted."""
    tty: bool = False
    open_stdin: bool = False
    read_only: bool = False
    mounts: tuple[Mount, ...] = ()
    stop_signal: str = ""
    stop_grace_period: float | None = None
    """Seconds between the stop signal and the kill; None = swarm mode's `DEFAULT_STOP_GRACE_PERIOD_S`."""
    healthcheck: HealthConfig | None = None
    hosts: tuple[str, ...] = ()
    dns: DNSConfig | None = None
    secrets: tuple[FileReference, ...] = ()
    configs: tuple[FileReference, ...] = ()
    isolation: str = ""
    init: bool | None = None
    sysctls: Labels = ()
    capability_add: tuple[str, ...] = ()
    capability_drop: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adj: int = 0
    registry_auth: str = ""
    """The client's X-Registry-Auth header, for pulling the image; a secret, never shown."""

    @property
    def stop_grace_period_in_force(self) -> float:
        """The grace period, swarm mode's where the user said nothing."""
        return DEFAULT_STOP_GRACE_PERIOD_S if self.stop_grace_period is None else self.stop_grace_period
