"""Tasks: list and inspect."""

from aiohttp import web

from orchestrator.api.backend import ClusterBackend
from orchestrator.api.convert.task import state_name, task_to_wire
from orchestrator.api.list_filters import Filters, parse_filters
from orchestrator.api.lookup import find_node, find_service, find_task
from orchestrator.api.responses import json_response
from orchestrator.model.task import Task, TaskState
from orchestrator.state.cluster_state import ClusterState

FILTERS = ("_up-to-date", "desired-state", "id", "label", "name", "node", "runtime", "service")
_STATE_NAMES = tuple(state_name(state) for state in TaskState)


async def list_tasks(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /tasks`, history included; services and nodes may be named as in their own paths."""
    state = cluster.state
    filters = parse_filters(request.query.get("filters", ""))
    filters.accept(FILTERS)
    services = {find_service(state, text).id for text in filters.values("service")}
    nodes = {find_node(state, text).id for text in filters.values("node")}
    desired = filters.choice("desired-state", _STATE_NAMES)
    tasks = [
        task_to_wire(task, state)
        for task in state.tasks.values()
        if (not services or task.service_id in services)
        and (not nodes or task.node_id in nodes)
        and (not desired or state_name(task.desired_state) in desired)
        and _matches(task, filters)
        and (not filters.values("_up-to-date") or _is_up_to_date(task, state))
    ]
    return json_response(tasks)


async def inspect(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /tasks/{id}`."""
    return json_response(task_to_wire(find_task(cluster.state, request.match_info["id"]), cluster.state))


def _matches(task: Task, filters: Filters) -> bool:
    return (
        filters.prefix("name", task.container_name)
        and filters.prefix("id", task.id)
        and filters.labels("label", task.labels)
        and filters.exact("runtime", "container")
    )


def _is_up_to_date(task: Task, state: ClusterState) -> bool:
    service = state.services.get(task.service_id)
    return service is not None and service.spec_version == task.spec_version
