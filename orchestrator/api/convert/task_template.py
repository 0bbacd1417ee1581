"""The task template between Docker's JSON and the model."""

from orchestrator.api.convert.container import container_from_wire, container_to_wire
from orchestrator.api.convert.resources import (
    limits_from_wire,
    log_driver_from_wire,
    log_driver_to_wire,
    requirements_to_wire,
    resources_from_wire,
)
from orchestrator.api.convert.units import choice, labels, nanoseconds, seconds, where_given
from orchestrator.api.errors import BadRequest
from orchestrator.api.wire import service as wire
from orchestrator.api.wire.common import Platform
from orchestrator.model.errors import NotSupported
from orchestrator.model.service import NetworkReference, Placement, RestartCondition, RestartPolicy, TaskSpec

_CONTAINER = "container"


def template_from_wire(template: wire.TaskSpec) -> TaskSpec:
    """A task template. Raises `BadRequest`."""
    if template.runtime == "plugin" or template.plugin_spec is not None:
        raise NotSupported("services that install plugins are not supported: only containers run as tasks")
    if template.runtime not in ("", _CONTAINER):
        raise BadRequest("unsupported runtime")
    if template.network_attachment_spec is not None:
        raise NotSupported("tasks that only attach a network are not supported")
    if template.container_spec is None:
        raise BadRequest("mismatched Runtime and *Spec fields")
    resources = template.resources or wire.ResourceRequirements()
    return TaskSpec(
        container=container_from_wire(template.container_spec),
        limits=where_given(limits_from_wire, resources.limits),
        reservations=where_given(resources_from_wire, resources.reservations),
        restart=where_given(_restart_from_wire, template.restart_policy),
        placement=where_given(_placement_from_wire, template.placement),
        networks=tuple(network_from_wire(network) for network in template.networks),
        log_driver=where_given(log_driver_from_wire, template.log_driver),
        force_update=template.force_update or 0,
    )


def template_to_wire(template: TaskSpec, *, of_service: bool) -> wire.TaskSpec:
    """A task template; only services show the runtime."""
    return wire.TaskSpec(
        container_spec=container_to_wire(template.container),
        resources=requirements_to_wire(template.limits, template.reservations),
        restart_policy=where_given(_restart_to_wire, template.restart),
        placement=where_given(_placement_to_wire, template.placement),
        networks=tuple(_network_to_wire(network) for network in template.networks),
        log_driver=where_given(log_driver_to_wire, template.log_driver),
        force_update=template.force_update,
        runtime=_CONTAINER if of_service else "",
    )


def network_from_wire(network: wire.NetworkAttachmentConfig) -> NetworkReference:
    """A network a task joins, by the id or name the user gave."""
    return NetworkReference(
        network_id=network.target, aliases=network.aliases, driver_options=labels(network.driver_opts)
    )


def _network_to_wire(network: NetworkReference) -> wire.NetworkAttachmentConfig:
    return wire.NetworkAttachmentConfig(
        target=network.network_id, aliases=network.aliases, driver_opts=dict(network.driver_options)
    )


def _restart_from_wire(policy: wire.RestartPolicy) -> RestartPolicy:
    default = RestartPolicy()
    return RestartPolicy(
        condition=choice(RestartCondition, policy.condition, default.condition, 'invalid RestartCondition: "{}"'),
        delay=where_given(seconds, policy.delay),
        max_attempts=policy.max_attempts or 0,
        window=where_given(seconds, policy.window),
    )


def _restart_to_wire(policy: RestartPolicy) -> wire.RestartPolicy:
    return wire.RestartPolicy(
        condition=policy.condition.value,
        delay=where_given(nanoseconds, policy.delay),
        max_attempts=policy.max_attempts,
        window=where_given(nanoseconds, policy.window),
    )


def _placement_from_wire(placement: wire.Placement) -> Placement:
    return Placement(
        constraints=placement.constraints,
        spread=tuple(
            preference.spread.spread_descriptor for preference in placement.preferences if preference.spread is not None
        ),
        max_replicas=placement.max_replicas,
        platforms=tuple((platform.architecture, platform.os) for platform in placement.platforms),
    )


def _placement_to_wire(placement: Placement) -> wire.Placement:
    return wire.Placement(
        constraints=placement.constraints,
        preferences=tuple(
            wire.PlacementPreference(spread=wire.SpreadOver(spread_descriptor=label)) for label in placement.spread
        ),
        max_replicas=placement.max_replicas,
        platforms=tuple(Platform(architecture=architecture, os=os) for architecture, os in placement.platforms),
    )
