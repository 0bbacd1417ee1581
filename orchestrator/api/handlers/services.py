"""Services: list, create, inspect, update, remove."""

from dataclasses import replace
from http import HTTPStatus

from aiohttp import web

from orchestrator.api import requests
from orchestrator.api.backend import ClusterBackend
from orchestrator.api.convert.service import service_to_wire, spec_from_wire
from orchestrator.api.errors import BadRequest, NotAllowed, ObjectNotFound
from orchestrator.api.known_networks import KnownNetworks, refuse_nodes_own
from orchestrator.api.list_filters import Filters, parse_filters
from orchestrator.api.lookup import find_network, find_service
from orchestrator.api.proposals import propose
from orchestrator.api.responses import empty_response, json_response
from orchestrator.api.service_names import name_for
from orchestrator.api.service_status import status_of
from orchestrator.api.wire import service as wire
from orchestrator.control.service_admission import admit_rollback, admit_service
from orchestrator.control.service_validation import validate_service
from orchestrator.model.errors import FailedPrecondition
from orchestrator.model.service import Service, ServiceSpec
from orchestrator.model.service_defaults import with_defaults
from orchestrator.state.actions import Action, CreateService, RemoveService, RollbackService, UpdateService
from orchestrator.state.cluster_state import ClusterState

FILTERS = ("id", "label", "mode", "name", "runtime")
_AUTH_HEADER = "X-Registry-Auth"


async def list_services(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /services`; with `status`, each with the counts of its tasks."""
    filters = parse_filters(request.query.get("filters", ""))
    filters.accept(FILTERS)
    with_status = requests.strict_flag(request, "status")
    services = [
        service_to_wire(service, status_of(service, cluster.state) if with_status else None)
        for service in cluster.state.services.values()
        if _matches(service, filters)
    ]
    return json_response(services)


async def create(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`POST /services/create`."""
    body = await requests.read_body(request, wire.ServiceSpec)
    state = cluster.state
    service_id = cluster.new_id()
    spec = await _with_network_ids(request, spec_from_wire(body), state)
    spec = _with_registry_auth(spec, _registry_auth(request))
    if not spec.name:
        taken = {service.name for service in state.services.values()}
        spec = replace(spec, name=name_for(service_id, taken))
    validate_service(spec)
    admit_service(state, spec)
    executed_at = cluster.now() if spec.is_job else 0.0
    service = Service(id=service_id, spec=spec, spec_version=0, job_executed_at=executed_at)
    await propose(cluster, [CreateService(service=service)])
    return json_response({"ID": service_id, "Warnings": None}, HTTPStatus.CREATED)


async def inspect(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /services/{id}`; with `insertDefaults`, what the user left out is filled in."""
    insert_defaults = requests.strict_flag(request, "insertDefaults")
    service = find_service(cluster.state, request.match_info["id"])
    if insert_defaults:
        service = replace(service, spec=with_defaults(service.spec))
    return json_response(service_to_wire(service))


async def update(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`POST /services/{id}/update`: a new spec, or with `rollback=previous` the one before."""
    body = await requests.read_body(request, wire.ServiceSpec)
    version = requests.object_version(request, "service")
    rollback = _is_rollback(request)
    auth_from = _auth_source(request)
    spec = await _with_network_ids(request, spec_from_wire(body), cluster.state)
    service = find_service(cluster.state, request.match_info["id"])
    auth = _registry_auth(request) or _kept_auth(service, auth_from)
    spec = _with_registry_auth(spec, auth)
    validate_service(spec)
    admit_service(cluster.state, spec, service)
    action: Action
    if rollback:
        admit_rollback(cluster.state, service)
        action = RollbackService(service_id=service.id, version=version, message="manually requested rollback")
    else:
        action = UpdateService(service_id=service.id, version=version, spec=spec)
    await propose(cluster, [action])
    return json_response({"Warnings": None})


async def remove(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`DELETE /services/{id}`."""
    service = find_service(cluster.state, request.match_info["id"])
    await propose(cluster, [RemoveService(service_id=service.id)])
    return empty_response()


def _matches(service: Service, filters: Filters) -> bool:
    return (
        filters.prefix("name", service.name)
        and filters.prefix("id", service.id)
        and filters.labels("label", service.spec.labels)
        and filters.exact("mode", service.spec.mode.value)
        and filters.exact("runtime", "container")
    )


async def _with_network_ids(request: web.Request, spec: ServiceSpec, state: ClusterState) -> ServiceSpec:
    references = [
        replace(reference, network_id=await _network_id(request, state, reference.network_id))
        for reference in spec.task.networks
    ]
    return replace(spec, task=replace(spec.task, networks=tuple(references)))


async def _network_id(request: web.Request, state: ClusterState, text: str) -> str:
    try:
        return find_network(state, text).id
    except ObjectNotFound:
        refuse_nodes_own(text)
        own = await (await KnownNetworks.of(request)).of_engine(text)
        if own is None:
            raise
    raise NotAllowed(
        f"The network {own['Name']} cannot be used with services. Only networks scoped to the swarm can be used, such "
        "as those created with the overlay driver."
    )


def _registry_auth(request: web.Request) -> str:
    auth = request.headers.get(_AUTH_HEADER, "")
    if not auth.isascii():
        raise BadRequest(f"invalid {_AUTH_HEADER} header: it is not base64url")
    return auth


def _with_registry_auth(spec: ServiceSpec, auth: str) -> ServiceSpec:
    return replace(spec, task=replace(spec.task, container=replace(spec.task.container, registry_auth=auth)))


def _is_rollback(request: web.Request) -> bool:
    rollback = request.query.get("rollback", "")
    if rollback not in ("", "none", "previous"):
        raise BadRequest(f"unrecognized rollback option {rollback}")
    return rollback == "previous"


def _auth_source(request: web.Request) -> str:
    source = request.query.get("registryAuthFrom", "")
    if source not in ("", "spec", "previous-spec"):
        raise BadRequest("unsupported registryAuthFrom value")
    return source


def _kept_auth(service: Service, source: str) -> str:
    """The credentials to go on with when the client sends none."""
    if source != "previous-spec":
        return service.spec.task.container.registry_auth
    if service.previous_spec is None:
        raise FailedPrecondition("service does not have a previous spec")
    return service.previous_spec.task.container.registry_auth
