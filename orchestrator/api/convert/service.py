"""A service between Docker's JSON and the model."""

from dataclasses import replace

from orchestrator.api.convert.task_template import network_from_wire, template_from_wire, template_to_wire
from orchestrator.api.convert.units import choice, labels, nanoseconds, seconds, timestamp, where_given
from orchestrator.api.errors import BadRequest
from orchestrator.api.wire import service as wire
from orchestrator.api.wire.common import PortConfig as WirePort
from orchestrator.api.wire.common import Version
from orchestrator.model.service import (
    EndpointMode,
    EndpointSpec,
    FailureAction,
    PortConfig,
    PublishMode,
    Service,
    ServiceMode,
    ServiceSpec,
    UpdateConfig,
    UpdateOrder,
    UpdateStatus,
)

_PROTOCOLS = ("tcp", "udp", "sctp")


def spec_from_wire(spec: wire.ServiceSpec) -> ServiceSpec:
    """A service spec; network targets stay as the user wrote them. Raises `BadRequest`."""
    task = template_from_wire(spec.task_template or wire.TaskSpec())
    if not task.networks:
        task = replace(task, networks=tuple(network_from_wire(network) for network in spec.networks))
    mode, replicas, max_concurrent, total_completions = _mode_from_wire(spec.mode or wire.ServiceMode())
    return ServiceSpec(
        name=spec.name,
        task=task,
        labels=labels(spec.labels),
        mode=mode,
        replicas=replicas,
        max_concurrent=max_concurrent,
        total_completions=total_completions,
        update=where_given(_update_from_wire, spec.update_config),
        rollback=where_given(_update_from_wire, spec.rollback_config),
        endpoint=where_given(_endpoint_from_wire, spec.endpoint_spec),
    )


def spec_to_wire(spec: ServiceSpec) -> wire.ServiceSpec:
    """A service spec."""
    return wire.ServiceSpec(
        name=spec.name,
        labels=dict(spec.labels),
        task_template=template_to_wire(spec.task, of_service=True),
        mode=_mode_to_wire(spec),
        update_config=where_given(_update_to_wire, spec.update),
        rollback_config=where_given(_update_to_wire, spec.rollback),
        endpoint_spec=where_given(_endpoint_to_wire, spec.endpoint),
    )


def service_to_wire(service: Service, status: wire.ServiceStatus | None = None) -> wire.Service:
    """A service, with the counts of its tasks where they were asked for."""
    return wire.Service(
        id=service.id,
        version=Version(index=service.version),
        created_at=timestamp(service.created_at),
        updated_at=timestamp(service.updated_at),
        spec=spec_to_wire(service.spec),
        previous_spec=where_given(spec_to_wire, service.previous_spec),
        endpoint=_endpoint_of(service),
        update_status=where_given(_status_to_wire, service.update_status),
        service_status=status,
        job_status=_job_status(service),
    )


def port_to_wire(port: PortConfig) -> WirePort:
    """A published port."""
    return WirePort(
        name=port.name,
        protocol=port.protocol,
        target_port=port.target_port,
        published_port=port.published_port,
        publish_mode=port.publish_mode.value,
    )


def _port_from_wire(port: WirePort) -> PortConfig:
    # In any case of letters, as moby takes them.
    protocol = port.protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise BadRequest(f'invalid port protocol: "{port.protocol}"')
    return PortConfig(
        target_port=port.target_port,
        published_port=port.published_port,
        protocol=protocol,
        publish_mode=choice(PublishMode, port.publish_mode.lower(), PublishMode.INGRESS, 'invalid publish mode: "{}"'),
        name=port.name,
    )


def _endpoint_from_wire(endpoint: wire.EndpointSpec) -> EndpointSpec:
    return EndpointSpec(
        mode=choice(EndpointMode, endpoint.mode.lower(), EndpointMode.VIP, 'invalid resolution mode: "{}"'),
        ports=tuple(_port_from_wire(port) for port in endpoint.ports),
    )


def _endpoint_to_wire(endpoint: EndpointSpec) -> wire.EndpointSpec:
    return wire.EndpointSpec(mode=endpoint.mode.value, ports=tuple(port_to_wire(port) for port in endpoint.ports))


def _endpoint_of(service: Service) -> wire.Endpoint:
    return wire.Endpoint(
        spec=wire.EndpointSpec() if service.spec.endpoint is None else _endpoint_to_wire(service.spec.endpoint),
        ports=tuple(port_to_wire(port) for port in service.ports),
        virtual_ips=tuple(
            wire.VirtualIP(network_id=network_id, addr=address) for network_id, address in service.virtual_addresses
        ),
    )


_Mode = tuple[ServiceMode, int | None, int | None, int | None]
"""The mode, replicas, jobs at a time, completions."""


def _mode_from_wire(mode: wire.ServiceMode) -> _Mode:
    given = [part for part in (mode.replicated, mode.global_, mode.replicated_job, mode.global_job) if part is not None]
    if len(given) > 1:
        raise BadRequest("must specify only one service mode")
    if mode.global_ is not None:
        return ServiceMode.GLOBAL, None, None, None
    if mode.global_job is not None:
        return ServiceMode.GLOBAL_JOB, None, None, None
    if (job := mode.replicated_job) is not None:
        at_a_time = 1 if job.max_concurrent is None else job.max_concurrent
        return (
            ServiceMode.REPLICATED_JOB,
            None,
            at_a_time,
            at_a_time if job.total_completions is None else job.total_completions,
        )
    replicas = 1 if mode.replicated is None or mode.replicated.replicas is None else mode.replicated.replicas
    return ServiceMode.REPLICATED, replicas, None, None


def _mode_to_wire(spec: ServiceSpec) -> wire.ServiceMode:
    match spec.mode:
        case ServiceMode.REPLICATED:
            return wire.ServiceMode(replicated=wire.ReplicatedService(replicas=spec.desired_replicas))
        case ServiceMode.GLOBAL:
            return wire.ServiceMode(global_=wire.GlobalService())
        case ServiceMode.REPLICATED_JOB:
            job = wire.ReplicatedJob(max_concurrent=spec.max_concurrent, total_completions=spec.total_completions)
            return wire.ServiceMode(replicated_job=job)
        case ServiceMode.GLOBAL_JOB:
            return wire.ServiceMode(global_job=wire.GlobalService())


def _update_from_wire(config: wire.UpdateConfig) -> UpdateConfig:
    default = UpdateConfig()
    return UpdateConfig(
        # Go's zero value: a config that says nothing of parallelism asks for all at once.
        parallelism=config.parallelism or 0,
        delay=seconds(config.delay),
        failure_action=choice(
            FailureAction, config.failure_action, default.failure_action, "unrecognized update failure action {}"
        ),
        monitor=seconds(config.monitor) if config.monitor else None,
        max_failure_ratio=config.max_failure_ratio or 0.0,
        order=choice(UpdateOrder, config.order, default.order, "unrecognized update order {}"),
    )


def _update_to_wire(config: UpdateConfig) -> wire.UpdateConfig:
    return wire.UpdateConfig(
        parallelism=config.parallelism,
        delay=nanoseconds(config.delay),
        failure_action=config.failure_action.value,
        monitor=where_given(nanoseconds, config.monitor) or 0,
        max_failure_ratio=config.max_failure_ratio,
        order=config.order.value,
    )


def _status_to_wire(status: UpdateStatus) -> wire.UpdateStatus:
    return wire.UpdateStatus(
        state=status.state.value,
        started_at=timestamp(status.started_at),
        completed_at=None if status.completed_at is None else timestamp(status.completed_at),
        message=status.message,
    )


def _job_status(service: Service) -> wire.JobStatus | None:
    if not service.spec.is_job:
        return None
    return wire.JobStatus(
        job_iteration=Version(index=service.job_iteration), last_execution=timestamp(service.job_executed_at)
    )
