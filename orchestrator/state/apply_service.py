"""What actions on services do to the state."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from orchestrator.model.errors import AlreadyExists, FailedPrecondition, InvalidArgument, OutOfSequence
from orchestrator.model.service import (
    PortConfig,
    PublishMode,
    Service,
    ServiceSpec,
    TaskSpec,
    UpdateState,
    UpdateStatus,
)
from orchestrator.model.service_defaults import with_defaults
from orchestrator.model.task import TaskState
from orchestrator.state import actions as act
from orchestrator.state.apply_files import check_files_exist
from orchestrator.state.apply_network import check_networks_exist
from orchestrator.state.apply_task import want
from orchestrator.state.change import Change
from orchestrator.state.cluster_state import ClusterState


def create_service(change: Change, action: act.CreateService) -> None:
    """Add a service."""
    service = action.service
    if change.state.service_named(service.name) is not None:
        raise AlreadyExists(f"name conflicts with an existing object: service {service.name} already exists")
    check_references(change.state, service.spec, service.id)
    stamped = replace(
        service, spec_version=change.index, created_at=change.at, updated_at=change.at, version=change.index
    )
    change.state.put_service(stamped)
    change.touch_network()


def update_service(change: Change, action: act.UpdateService) -> None:
    """Replace the service's spec and start an update where its tasks no longer fit it."""
    service = change.state.service(action.service_id)
    if service.version != action.version:
        raise OutOfSequence
    if action.spec.name != service.spec.name:
        raise InvalidArgument("renaming services is not supported")
    if action.spec.mode is not service.spec.mode:
        raise InvalidArgument("service mode change is not allowed")
    check_references(change.state, action.spec, service.id)
    updated = replace(
        service,
        spec=action.spec,
        spec_version=_version_of_template(change, service, action.spec),
        previous_spec=service.spec,
        previous_spec_version=service.spec_version,
    )
    if action.spec.is_job:
        _put(change, _executed_again(change, updated))
    else:
        _put(change, replace(updated, update_status=_fresh_status(change, updated, UpdateState.UPDATING)))
    change.touch_network()


def rollback_service(change: Change, action: act.RollbackService) -> None:
    """Return to the previous spec; tasks made from it count as up to date again."""
    service = change.state.service(action.service_id)
    if action.version is not None and service.version != action.version:
        raise OutOfSequence
    if action.between is not None and action.between != (service.spec_version, service.previous_spec_version):
        raise OutOfSequence
    if service.previous_spec is None:
        raise FailedPrecondition(f"service {service.name} does not have a previous spec")
    check_references(change.state, service.previous_spec, service.id)
    by_user = action.version is not None
    restored = replace(
        service,
        spec=service.previous_spec,
        spec_version=service.previous_spec_version,
        # A user can take a rollback back by another; the updater, whose new spec has failed, never returns to it.
        previous_spec=service.spec if by_user else None,
        previous_spec_version=service.spec_version if by_user else 0,
    )
    status = UpdateStatus(UpdateState.ROLLBACK_STARTED, change.at, message=action.message)
    is_job = restored.spec.is_job
    _put(change, _executed_again(change, restored) if is_job else replace(restored, update_status=status))
    change.touch_network()


def set_update_status(change: Change, action: act.SetUpdateStatus) -> None:
    """Record the updater's progress, which is that of the update under way or the beginning of one."""
    service = change.state.service(action.service_id)
    before = service.update_status
    under_way = before.started_at if before is not None and before.state.is_active else None
    begins = under_way is None and action.status.state is UpdateState.UPDATING
    if service.spec_version != action.spec_version or not (begins or action.status.started_at == under_way):
        raise OutOfSequence
    _put(change, replace(service, update_status=action.status))


def allocate_service(change: Change, action: act.AllocateService) -> None:
    """Fill in what the allocator chose."""
    service = change.state.service(action.service_id)
    _put(change, replace(service, ports=action.ports, virtual_addresses=action.virtual_addresses))
    _tell_tasks(change, service.id, dict(action.virtual_addresses))
    for network_id, address in action.virtual_addresses:
        network = change.state.networks.get(network_id)
        if network is not None and (network_id, address) not in service.virtual_addresses:
            change.state.put_network(replace(network, last_address=address.partition("/")[0]))
    change.touch_network()


def _tell_tasks(change: Change, service_id: str, virtual_addresses: Mapping[str, str]) -> None:
    """Tasks that were made before their service had a virtual address are reached by it all the same from now on."""
    for task in change.state.tasks_of_service(service_id):
        attachments = tuple(
            attachment
            if attachment.virtual_address
            else replace(attachment, virtual_address=virtual_addresses.get(attachment.network_id, "").partition("/")[0])
            for attachment in task.attachments
        )
        if attachments != task.attachments:
            change.state.put_task(replace(task, attachments=attachments, version=change.index, updated_at=change.at))


def remove_service(change: Change, action: act.RemoveService) -> None:
    """Forget the service and want its tasks gone; each is still withdrawn and drained before it stops."""
    service = change.state.service(action.service_id)
    for task in change.state.tasks_of_service(service.id):
        want(change, task, TaskState.REMOVE)
    change.state.delete_service(service.id)
    change.touch_network()


def check_references(state: ClusterState, spec: ServiceSpec, service_id: str) -> None:
    """Raise the `ClusterError` for which the cluster cannot give the service what its spec names.

    Networks, secrets or configs that are gone or going, and ports that another service publishes in ingress mode.
    """
    check_networks_exist(state, spec)
    _check_ports_free(state, spec, service_id)
    check_files_exist(state, spec)


def _check_ports_free(state: ClusterState, spec: ServiceSpec, service_id: str) -> None:
    wanted = _ingress_ports(spec.ports)
    if not wanted:
        return
    for other in state.services.values():
        if other.id == service_id:
            continue
        for protocol, number in _held_ports(other):
            if (protocol, number) in wanted:
                raise InvalidArgument(f"port '{number}' is already in use by service '{other.name}' ({other.id})")


def _held_ports(service: Service) -> list[tuple[str, int]]:
    """What its spec names, from the commit of that spec on, and what it was given where its spec leaves the choice."""
    open_ports = [port for port in service.spec.ports if not port.published_port]
    given = [port for port in service.ports if replace(port, published_port=0) in open_ports]
    return _ingress_ports((*service.spec.ports, *given))


def _ingress_ports(ports: Iterable[PortConfig]) -> list[tuple[str, int]]:
    """(protocol, number) of those published in the mesh under a known number."""
    return [(p.protocol, p.published_port) for p in ports if p.publish_mode is PublishMode.INGRESS and p.published_port]


def _put(change: Change, service: Service) -> None:
    change.state.put_service(replace(service, version=change.index, updated_at=change.at))


def _executed_again(change: Change, job: Service) -> Service:
    """Each update of a job is another execution of it (swarmkit's `JobStatus`)."""
    return replace(job, job_iteration=job.job_iteration + 1, job_executed_at=change.at, update_status=None)


def _version_of_template(change: Change, service: Service, spec: ServiceSpec) -> int:
    """The version that tasks made from the spec have: a new one, unless its template is the present or the previous.

    Tasks that an update has not replaced yet are up to date for whoever takes it back by another update.
    """
    if _same_template(service.spec, spec):
        return service.spec_version
    if service.previous_spec is not None and _same_template(service.previous_spec, spec):
        return service.previous_spec_version
    return change.index


def _same_template(before: ServiceSpec, after: ServiceSpec) -> bool:
    return before.ports == after.ports and _template(before) == _template(after)


def _template(spec: ServiceSpec) -> TaskSpec:
    """What tasks are made from, as far as another one makes others.

    docker-py sends back what `insertDefaults` filled in: whoever only scales with it must not replace every task. And
    what the image is fetched with is no part of a task that has it already (swarmkit's `task.go`).
    """
    task = with_defaults(spec).task
    return replace(task, container=replace(task.container, registry_auth=""))


def _fresh_status(change: Change, service: Service, state: UpdateState) -> UpdateStatus | None:
    tasks = change.state.tasks_of_service(service.id)
    # Oldest first: the last of each slot stays. One that ended for good is brought up to date as well.
    latest = {(task.slot, "" if task.slot else task.node_id): task for task in tasks}
    candidates = (*(task for task in tasks if task.is_wanted), *latest.values())
    outdated = any(t.spec_version != service.spec_version and t.desired_state < TaskState.REMOVE for t in candidates)
    return UpdateStatus(state, change.at, message="update in progress") if outdated else None
