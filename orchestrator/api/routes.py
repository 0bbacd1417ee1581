"""The table of everything the API serves, and the test by which the front tells our requests from the engine's."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from orchestrator.api.backend import ClusterBackend
from orchestrator.api.context import CONTEXT
from orchestrator.api.handlers import (
    configs,
    containers,
    debug,
    events,
    logs,
    networks,
    nodes,
    secrets,
    services,
    swarm,
    system,
    tasks,
)

NodeHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ManagerHandler = Callable[[web.Request, ClusterBackend], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table; exactly one of the handlers is given."""

    method: str
    path: str
    any_node: NodeHandler | None = None
    """Answers on every node, for that node."""
    leader: ManagerHandler | None = None
    """Answers on the leading manager; other managers hand the request on, workers refuse it."""


ROUTES = (
    Route("HEAD", "/_ping", any_node=system.ping),
    Route("GET", "/_ping", any_node=system.ping),
    Route("GET", "/version", any_node=system.version),
    Route("GET", "/info", any_node=system.info),
    Route("GET", "/events", any_node=events.events),
    Route("GET", "/debug/swarm", any_node=debug.swarm),
    Route("POST", "/swarm/init", any_node=swarm.init),
    Route("POST", "/swarm/join", any_node=swarm.join),
    Route("POST", "/swarm/leave", any_node=swarm.leave),
    Route("POST", "/swarm/unlock", any_node=swarm.unlock),
    Route("GET", "/swarm", leader=swarm.inspect),
    Route("GET", "/swarm/unlockkey", leader=swarm.unlock_key),
    Route("POST", "/swarm/update", leader=swarm.update),
    Route("GET", "/nodes", leader=nodes.list_nodes),
    Route("GET", "/nodes/{id}", leader=nodes.inspect),
    Route("DELETE", "/nodes/{id}", leader=nodes.remove),
    Route("POST", "/nodes/{id}/update", leader=nodes.update),
    Route("GET", "/services", leader=services.list_services),
    Route("POST", "/services/create", leader=services.create),
    Route("GET", "/services/{id}", leader=services.inspect),
    Route("DELETE", "/services/{id}", leader=services.remove),
    Route("POST", "/services/{id}/update", leader=services.update),
    Route("GET", "/services/{id}/logs", leader=logs.service_logs),
    Route("GET", "/secrets", leader=secrets.list_secrets),
    Route("POST", "/secrets/create", leader=secrets.create),
    Route("GET", "/secrets/{id}", leader=secrets.inspect),
    Route("DELETE", "/secrets/{id}", leader=secrets.remove),
    Route("POST", "/secrets/{id}/update", leader=secrets.update),
    Route("GET", "/configs", leader=configs.list_configs),
    Route("POST", "/configs/create", leader=configs.create),
    Route("GET", "/configs/{id}", leader=configs.inspect),
    Route("DELETE", "/configs/{id}", leader=configs.remove),
    Route("POST", "/configs/{id}/update", leader=configs.update),
    Route("GET", "/tasks", leader=tasks.list_tasks),
    Route("GET", "/tasks/{id}", leader=tasks.inspect),
    Route("GET", "/tasks/{id}/logs", leader=logs.task_logs),
    Route("POST", "/containers/create", any_node=containers.create),
    Route("GET", "/networks", any_node=networks.list_networks),
    Route("POST", "/networks/create", any_node=networks.create),
    Route("POST", "/networks/prune", any_node=networks.prune),
    Route("GET", "/networks/{id}", any_node=networks.inspect),
    Route("DELETE", "/networks/{id}", any_node=networks.remove),
    Route("POST", "/networks/{id}/connect", any_node=networks.connect),
    Route("POST", "/networks/{id}/disconnect", any_node=networks.disconnect),
)

VERSION_PREFIX = "/v{major:[0-9]{1,9}}.{minor:[0-9]{1,9}}"
_OURS = re.compile(
    r"(?:/v\d+\.\d+)?/(?:(?:_ping|version|info|events|containers/create|debug/swarm)/?|(?:swarm|nodes|services|tasks|secrets|configs|networks)(?:/.*)?)"
)


def is_swarm_path(method: str, path: str) -> bool:
    """Whether the request is ours; every other one is the inner engine's.

    Whole trees are ours, verbs and paths we do not know included: the inner engine is in no swarm and would answer
    them misleadingly. `path` is without its query.
    """
    del method
    return _OURS.fullmatch(path) is not None


def add_routes(application: web.Application) -> None:
    """Serve the table, with and without the version prefix."""
    for route in ROUTES:
        handler = _handler(route)
        for path in (route.path, VERSION_PREFIX + route.path):
            application.router.add_route(route.method, path, handler)


def _handler(route: Route) -> NodeHandler:
    if route.any_node is not None:
        return route.any_node
    if route.leader is None:
        raise ValueError(f"no handler for {route.method} {route.path}")
    answer = route.leader

    async def on_leader(request: web.Request) -> web.StreamResponse:
        context = request.app[CONTEXT]
        cluster = context.manager()
        if not await cluster.find_leader():
            return await context.forward(request, cluster)
        # A deposed leader that does not know it yet must not answer from what it has.
        await cluster.catch_up()
        return await answer(request, cluster)

    return on_leader
