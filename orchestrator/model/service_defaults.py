"""What swarm mode assumes where a service's user said nothing.

Shown with `insertDefaults`; a template that spells it out is no other template.
"""

from dataclasses import replace

from orchestrator.model.container import DNSConfig
from orchestrator.model.service import Placement, Resources, RestartPolicy, ServiceSpec, UpdateConfig


def with_defaults(spec: ServiceSpec) -> ServiceSpec:
    """The spec with every section filled in."""
    task = spec.task
    container = task.container
    grace = container.stop_grace_period_in_force
    return replace(
        spec,
        task=replace(
            task,
            container=replace(container, stop_grace_period=grace, dns=container.dns or DNSConfig()),
            limits=task.limits or Resources(),
            reservations=task.reservations or Resources(),
            restart=_restart_with_defaults(task.restart or RestartPolicy()),
            placement=task.placement or Placement(),
        ),
        update=_update_with_defaults(spec.update or UpdateConfig()),
        rollback=_update_with_defaults(spec.rollback or UpdateConfig()),
    )


def _restart_with_defaults(policy: RestartPolicy) -> RestartPolicy:
    return replace(policy, delay=policy.delay_in_force)


def _update_with_defaults(config: UpdateConfig) -> UpdateConfig:
    return replace(config, monitor=config.monitor_in_force)
