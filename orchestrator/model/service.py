"""A service's wish: what to run, how many, where, and how to change it. Its container is `container.py`'s.

Durations are seconds (float), memory is bytes, CPU is nano-CPUs (1e9 = one core), as in Docker's own objects.
Optional sections are None when the user said nothing, so the API can give back exactly what it was given.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.model.container import ContainerSpec
from orchestrator.model.labels import Labels

DEFAULT_RESTART_DELAY_S = 5.0
DEFAULT_MONITOR_S = 5.0
"""swarmkit `api/defaults/service.go`."""


class ServiceMode(StrEnum):
    """What decides the number of tasks."""

    REPLICATED = "replicated"
    GLOBAL = "global"
    REPLICATED_JOB = "replicated-job"
    GLOBAL_JOB = "global-job"


class RestartCondition(StrEnum):
    """When a task that ended is replaced."""

    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


class FailureAction(StrEnum):
    """What an update does when too many of its tasks fail."""

    PAUSE = "pause"
    CONTINUE = "continue"
    ROLLBACK = "rollback"


class UpdateOrder(StrEnum):
    """Which of a slot's two tasks goes first."""

    STOP_FIRST = "stop-first"
    START_FIRST = "start-first"


class UpdateState(StrEnum):
    """Progress of an update, by Docker's names."""

    UPDATING = "updating"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_PAUSED = "rollback_paused"
    ROLLBACK_COMPLETED = "rollback_completed"

    @property
    def is_active(self) -> bool:
        """Whether tasks are still being replaced."""
        return self in (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED)

    @property
    def is_paused(self) -> bool:
        """Whether it waits for the user after a failure."""
        return self in (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)


class EndpointMode(StrEnum):
    """How clients reach a service by name."""

    VIP = "vip"
    DNSRR = "dnsrr"


class PublishMode(StrEnum):
    """Where a published port listens: on every node, or only where a task runs."""

    INGRESS = "ingress"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class PortConfig:
    """One published port; `published_port` 0 asks the allocator for one of 30000-32767 (ingress)."""

    target_port: int
    published_port: int = 0
    protocol: str = "tcp"
    publish_mode: PublishMode = PublishMode.INGRESS
    name: str = ""


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """How the service is reached."""

    mode: EndpointMode = EndpointMode.VIP
    ports: tuple[PortConfig, ...] = ()


def added_up(amounts: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """One amount per kind of generic resource."""
    totals: Counter[str] = Counter()
    for kind, amount in amounts:
        totals[kind] += amount
    return tuple(sorted(totals.items()))


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts of a node's resources; `generic` are (kind, count) of those the engine does not know."""

    nano_cpus: int = 0
    memory_bytes: int = 0
    pids: int = 0
    generic: tuple[tuple[str, int], ...] = ()
    named: tuple[tuple[str, str], ...] = ()
    """(kind, name) of generic resources that are told apart, such as certain GPUs. No node satisfies a reservation of
    one: the scheduler, like swarmkit's, gives out amounts alone."""

    def generic_count(self, kind: str) -> int:
        """How many there are of a generic kind, with or without names."""
        return dict(self.generic).get(kind, 0) + sum(kind == named_kind for named_kind, _ in self.named)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When and how often an ended task is replaced. Defaults are swarm mode's."""

    condition: RestartCondition = RestartCondition.ANY
    delay: float | None = None
    """Seconds before the next attempt; None = swarm mode's `DEFAULT_RESTART_DELAY_S`."""
    max_attempts: int = 0
    """0 = no limit."""
    window: float | None = None
    """Seconds over which attempts are counted; 0 and None = for ever."""

    @property
    def delay_in_force(self) -> float:
        """The delay, swarm mode's where the user said nothing."""
        return DEFAULT_RESTART_DELAY_S if self.delay is None else self.delay


@dataclass(frozen=True, slots=True)
class Placement:
    """Where tasks may run."""

    constraints: tuple[str, ...] = ()
    """As written, for example "node.role==worker"; parsed in `control/constraints.py`."""
    spread: tuple[str, ...] = ()
    """`--placement-pref spread=` descriptors, outermost first."""
    max_replicas: int = 0
    platforms: tuple[tuple[str, str], ...] = ()
    """(architecture, os) pairs of the image, empty = any."""


@dataclass(frozen=True, slots=True)
class NetworkReference:
    """A network a task is to join."""

    network_id: str
    aliases: tuple[str, ...] = ()
    driver_options: Labels = ()


@dataclass(frozen=True, slots=True)
class LogDriver:
    """The engine's log driver of the container."""

    name: str = ""
    options: Labels = ()


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """The template every task of the service is made from."""

    container: ContainerSpec
    limits: Resources | None = None
    reservations: Resources | None = None
    restart: RestartPolicy | None = None
    placement: Placement | None = None
    networks: tuple[NetworkReference, ...] = ()
    log_driver: LogDriver | None = None
    force_update: int = 0


@dataclass(frozen=True, slots=True)
class UpdateConfig:
    """How fast and how carefully tasks are replaced. Defaults are swarm mode's."""

    parallelism: int = 1
    """Slots replaced at a time; 0 = all at once."""
    delay: float = 0.0
    failure_action: FailureAction = FailureAction.PAUSE
    monitor: float | None = None
    """Seconds after a task runs during which its failure counts against the update; None = `DEFAULT_MONITOR_S`."""
    max_failure_ratio: float = 0.0
    order: UpdateOrder = UpdateOrder.STOP_FIRST

    @property
    def monitor_in_force(self) -> float:
        """The monitoring period, swarm mode's where the user said nothing."""
        return DEFAULT_MONITOR_S if self.monitor is None else self.monitor


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """Everything the user asks of a service."""

    name: str
    task: TaskSpec
    labels: Labels = ()
    mode: ServiceMode = ServiceMode.REPLICATED
    replicas: int | None = None
    """Replicated services only; None = 1."""
    max_concurrent: int | None = None
    """Jobs: how many tasks may run at a time."""
    total_completions: int | None = None
    """Replicated jobs: how many tasks must complete."""
    update: UpdateConfig | None = None
    rollback: UpdateConfig | None = None
    endpoint: EndpointSpec | None = None

    @property
    def is_job(self) -> bool:
        """Whether tasks run to completion instead of for ever."""
        return self.mode in (ServiceMode.REPLICATED_JOB, ServiceMode.GLOBAL_JOB)

    @property
    def desired_replicas(self) -> int:
        """Tasks a replicated service wants."""
        return 1 if self.replicas is None else self.replicas

    @property
    def ports(self) -> tuple[PortConfig, ...]:
        """Published ports as asked for."""
        return self.endpoint.ports if self.endpoint else ()


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """How the running or last update stands."""

    state: UpdateState
    started_at: float
    completed_at: float | None = None
    message: str = ""
    failed_task_ids: tuple[str, ...] = ()
    """Tasks of this update that failed within `monitor`; replicated, so a new leader counts on."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as the cluster keeps it."""

    id: str
    spec: ServiceSpec
    spec_version: int
    """Names the task template: a changed template gets a new number, a rollback restores the old one."""
    previous_spec: ServiceSpec | None = None
    previous_spec_version: int = 0
    update_status: UpdateStatus | None = None
    ports: tuple[PortConfig, ...] = ()
    """Published ports with the allocated numbers filled in."""
    virtual_addresses: tuple[tuple[str, str], ...] = ()
    """(network id, "address/prefix length") per network in VIP mode."""
    job_iteration: int = 0
    """Jobs: raised by every update, each of which runs the job again."""
    job_executed_at: float = 0.0
    """Jobs: when the present iteration began, seconds since the epoch."""
    created_at: float = 0.0
    updated_at: float = 0.0
    version: int = 0

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.spec.name


def default_update_config(config: UpdateConfig | None) -> UpdateConfig:
    """The config in force: swarm mode's defaults where the user said nothing."""
    return config if config is not None else UpdateConfig()


def default_restart_policy(policy: RestartPolicy | None) -> RestartPolicy:
    """The policy in force: swarm mode's defaults where the user said nothing."""
    return policy if policy is not None else RestartPolicy()
