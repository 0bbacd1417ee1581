"""Whether a service spec makes sense in itself, whatever the cluster's state.

Behaves as swarmkit's `manager/controlapi/service.go` (`validateServiceSpec`), message by message; beyond it, the
labels that switch the zero-loss machinery must be readable. Pure.
"""

import re
from collections.abc import Iterable

from orchestrator.control.constraints import ENGINE_LABEL, NODE_LABEL, parse_constraint
from orchestrator.control.container_validation import validate_container, validate_references
from orchestrator.model.container import ContainerSpec
from orchestrator.model.errors import BadConstraint, InvalidArgument, NotSupported
from orchestrator.model.node import NodeDescription
from orchestrator.model.service import (
    EndpointMode,
    EndpointSpec,
    PublishMode,
    Resources,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)
from orchestrator.model.task import Task
from orchestrator.model.templates import expand_container
from orchestrator.model.zero_loss import switches_of

MIN_NANO_CPUS = 1_000_000
MIN_MEMORY_BYTES = 4 * 1024 * 1024
MAX_NAME_LENGTH = 63
MAX_PORT = 65535
MAX_REPLICAS = 10_000
"""Our own limit: the managers keep and weigh every task, so a slip of the finger must not take their memory."""

# One way to match each text: a second `+` in here, as Go's linear matcher affords it, would take Python for ever.
_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9])*")


def validate_service(spec: ServiceSpec) -> None:
    """Raise `InvalidArgument` with the first thing wrong with the spec, `NotSupported` for what would be ignored."""
    _validate_name(spec.name)
    _validate_task(spec.task)
    _validate_mode(spec)
    if spec.is_job:
        if spec.update is not None:
            raise InvalidArgument("Jobs may not have an update config")
    else:
        _validate_update(spec.update)
        _validate_update(spec.rollback)
    _validate_endpoint(spec.endpoint)
    switches_of(spec.labels)


def _validate_name(name: str) -> None:
    if not name:
        raise InvalidArgument("meta: name must be provided")
    if not _NAME.fullmatch(name):
        raise InvalidArgument("name must be valid as a DNS name component")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidArgument(f"name must be {MAX_NAME_LENGTH} characters or fewer")


def _validate_task(task: TaskSpec) -> None:
    _validate_resources(task.limits)
    _validate_resources(task.reservations)
    _validate_restart(task.restart)
    if task.placement is not None:
        _validate_constraints(task.placement.constraints)
        _validate_preferences(task.placement.spread)
        if task.placement.max_replicas < 0:
            raise InvalidArgument("TaskSpec: max replicas per node cannot be negative")
    if any(reference.driver_options for reference in task.networks):
        raise NotSupported("driver options of a network attachment are not supported")
    if any("" in reference.aliases for reference in task.networks):
        raise InvalidArgument("TaskSpec: network alias must not be empty")
    validate_references(task.container)
    validate_container(_example(task))


def _validate_resources(resources: Resources | None) -> None:
    if resources is None:
        return
    if resources.nano_cpus and resources.nano_cpus < MIN_NANO_CPUS:
        raise InvalidArgument(
            f"invalid cpu value {resources.nano_cpus / 1e9:g}: Must be at least {MIN_NANO_CPUS / 1e9:g}"
        )
    if resources.memory_bytes and resources.memory_bytes < MIN_MEMORY_BYTES:
        raise InvalidArgument(f"invalid memory value {resources.memory_bytes}: Must be at least 4MiB")
    if resources.pids < 0:
        raise InvalidArgument(f"invalid pids value {resources.pids}: must not be negative")
    for kind, count in resources.generic:
        if count < 0:
            raise InvalidArgument(f"invalid value {count} of generic resource {kind}: must not be negative")


def _validate_restart(policy: RestartPolicy | None) -> None:
    if policy is None:
        return
    if policy.delay_in_force < 0:
        raise InvalidArgument("TaskSpec: restart-delay cannot be negative")
    if (policy.window or 0.0) < 0:
        raise InvalidArgument("TaskSpec: restart-window cannot be negative")
    if policy.max_attempts < 0:
        raise InvalidArgument("TaskSpec: restart-max-attempts cannot be negative")


def _validate_constraints(constraints: Iterable[str]) -> None:
    for constraint in constraints:
        try:
            parse_constraint(constraint)
        except InvalidArgument as error:
            raise BadConstraint(str(error)) from error


def _validate_preferences(descriptors: Iterable[str]) -> None:
    """Swarm mode takes any descriptor, and spreads over nothing by one it does not know."""
    for descriptor in descriptors:
        if not descriptor.startswith((NODE_LABEL, ENGINE_LABEL)) or descriptor in (NODE_LABEL, ENGINE_LABEL):
            raise NotSupported(
                f"placement preference 'spread={descriptor}' is not supported: "
                f"give spread={NODE_LABEL}<label> or spread={ENGINE_LABEL}<label>"
            )


def _example(task: TaskSpec) -> ContainerSpec:
    """The container as some task of some node would have it: what cannot be filled in there cannot be anywhere."""
    example = Task("taskid", "serviceid", "servicename", 1, task, 1, node_id="nodeid")
    return expand_container(example, NodeDescription("nodeHostname"))


def _validate_mode(spec: ServiceSpec) -> None:
    if spec.replicas is not None and spec.replicas < 0:
        raise InvalidArgument("Number of replicas must be non-negative")
    if spec.replicas is not None and spec.replicas > MAX_REPLICAS:
        raise InvalidArgument(f"Number of replicas must not exceed {MAX_REPLICAS}")
    if spec.max_concurrent is not None and spec.max_concurrent > MAX_REPLICAS:
        raise InvalidArgument(f"Maximum concurrent jobs must not exceed {MAX_REPLICAS}")
    if spec.max_concurrent is not None and spec.max_concurrent < 0:
        raise InvalidArgument("Maximum concurrent jobs must not be negative")
    if spec.total_completions is not None and spec.total_completions < 0:
        raise InvalidArgument("Total completed jobs must not be negative")


def _validate_update(config: UpdateConfig | None) -> None:
    if config is None:
        return
    if config.parallelism < 0:
        raise InvalidArgument("TaskSpec: update-parallelism cannot be negative")
    if config.delay < 0:
        raise InvalidArgument("TaskSpec: update-delay cannot be negative")
    if config.monitor_in_force < 0:
        raise InvalidArgument("TaskSpec: update-monitor cannot be negative")
    if not 0 <= config.max_failure_ratio <= 1:
        raise InvalidArgument("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")


def _validate_endpoint(endpoint: EndpointSpec | None) -> None:
    if endpoint is None:
        return
    published: set[tuple[str, int]] = set()
    for port in endpoint.ports:
        if endpoint.mode is EndpointMode.DNSRR and port.publish_mode is PublishMode.INGRESS:
            raise InvalidArgument("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
        if port.protocol == "sctp" and port.publish_mode is PublishMode.INGRESS:
            raise NotSupported(
                f"EndpointSpec: sctp port {port.target_port} cannot be published through the routing mesh, "
                "which balances tcp and udp: publish it with mode=host"
            )
        if not 1 <= port.target_port <= MAX_PORT:
            raise InvalidArgument(f"EndpointSpec: invalid target port {port.target_port}")
        if not 0 <= port.published_port <= MAX_PORT:
            raise InvalidArgument(f"EndpointSpec: invalid published port {port.published_port}")
        if not port.published_port:
            continue
        if (port.protocol, port.published_port) in published:
            raise InvalidArgument("EndpointSpec: duplicate published ports provided")
        published.add((port.protocol, port.published_port))
