"""Resources, platforms and drivers between Docker's JSON and the model."""

from orchestrator.api.convert.units import labels, where_given
from orchestrator.api.wire import common as wire
from orchestrator.api.wire.service import Limit, ResourceRequirements
from orchestrator.model.service import LogDriver, Resources, added_up


def resources_from_wire(resources: wire.Resources) -> Resources:
    """What a task reserves; amounts of one kind are added up."""
    amounts = (item.discrete_resource_spec for item in resources.generic_resources)
    names = (item.named_resource_spec for item in resources.generic_resources)
    return Resources(
        nano_cpus=resources.nano_cpus,
        memory_bytes=resources.memory_bytes,
        generic=added_up((amount.kind, amount.value) for amount in amounts if amount is not None),
        named=tuple(sorted((name.kind, name.value) for name in names if name is not None)),
    )


def resources_to_wire(resources: Resources) -> wire.Resources:
    """What a node has or a task reserves."""
    return wire.Resources(
        nano_cpus=resources.nano_cpus,
        memory_bytes=resources.memory_bytes,
        generic_resources=(
            *(
                wire.GenericResource(discrete_resource_spec=wire.DiscreteResource(kind=kind, value=value))
                for kind, value in resources.generic
            ),
            *(
                wire.GenericResource(named_resource_spec=wire.NamedResource(kind=kind, value=value))
                for kind, value in resources.named
            ),
        ),
    )


def claims_to_wire(claims: tuple[tuple[str, str], ...]) -> wire.GenericResources:
    """What a task was given of its node's generic resources. The engine takes a number for an amount, never a name."""
    return tuple(
        wire.GenericResource(discrete_resource_spec=wire.DiscreteResource(kind=kind, value=int(value)))
        if value.isascii() and value.isdigit()
        else wire.GenericResource(named_resource_spec=wire.NamedResource(kind=kind, value=value))
        for kind, value in claims
    )


def limits_from_wire(limits: Limit) -> Resources:
    """What a task may use at most."""
    return Resources(nano_cpus=limits.nano_cpus, memory_bytes=limits.memory_bytes, pids=limits.pids)


def _limits_to_wire(limits: Resources) -> Limit:
    return Limit(nano_cpus=limits.nano_cpus, memory_bytes=limits.memory_bytes, pids=limits.pids)


def requirements_to_wire(limits: Resources | None, reservations: Resources | None) -> ResourceRequirements | None:
    """A task's limits and reservations; None when neither was given."""
    if limits is None and reservations is None:
        return None
    return ResourceRequirements(
        limits=where_given(_limits_to_wire, limits),
        reservations=where_given(resources_to_wire, reservations),
    )


def log_driver_from_wire(driver: wire.Driver) -> LogDriver:
    """A log driver."""
    return LogDriver(name=driver.name, options=labels(driver.options))


def log_driver_to_wire(driver: LogDriver) -> wire.Driver:
    """A log driver."""
    return wire.Driver(name=driver.name, options=dict(driver.options))
