"""Ping, version and info: what any node answers, merged with what its engine says."""

from aiohttp import web

from orchestrator.api.backend import ClusterBackend, LocalNode, LocalNodeState
from orchestrator.api.context import API_VERSION, CONTEXT, Context
from orchestrator.api.convert.swarm import cluster_to_wire
from orchestrator.api.errors import answer_to
from orchestrator.api.responses import json_response
from orchestrator.api.wire.swarm import Info, Peer
from orchestrator.model.errors import NoLeader

BUILDER_VERSION = "2"
"""BuildKit: what the inner engine builds with."""
_TWO_MANAGERS_WARNING = (
    "WARNING: Running Swarm in a two-manager configuration. This configuration provides\n"
    "         no fault tolerance, and poses a high risk to lose control over the cluster.\n"
    "         Refer to https://docs.docker.com/engine/swarm/admin_guide/ to configure the\n"
    "         Swarm for fault-tolerance."
)


async def ping(request: web.Request) -> web.StreamResponse:
    """`GET`, `HEAD /_ping`: alive, and what this node is to a cluster."""
    headers = {
        "Builder-Version": BUILDER_VERSION,
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
        "Swarm": swarm_status(request.app[CONTEXT].lifecycle.local),
    }
    return web.Response(text="" if request.method == "HEAD" else "OK", headers=headers)


def swarm_status(local: LocalNode) -> str:
    """What the header `Swarm` says: the CLI shows or hides its commands by it."""
    if local.state is not LocalNodeState.ACTIVE:
        return local.state.value
    return f"{local.state.value}/{'manager' if local.is_manager else 'worker'}"


async def version(request: web.Request) -> web.StreamResponse:
    """`GET /version`: the engine's, with our API version."""
    answer = await request.app[CONTEXT].engine.get_json("/version")
    ours = ".".join(map(str, API_VERSION))
    answer["ApiVersion"] = ours
    for component in answer.get("Components") or ():
        details = component.get("Details") or {}
        if "ApiVersion" in details:
            details["ApiVersion"] = ours
    return json_response(answer)


async def info(request: web.Request) -> web.StreamResponse:
    """`GET /info`: the engine's, with our section `Swarm`."""
    context = request.app[CONTEXT]
    answer = await context.engine.get_json("/info")
    answer["Swarm"] = _swarm_info(context)
    return json_response(answer)


def _swarm_info(context: Context) -> Info:
    local = context.lifecycle.local
    section = Info(
        node_id=local.node_id,
        node_addr=local.address,
        local_node_state=local.state.value,
        control_available=False,
        error=local.error,
        remote_managers=tuple(Peer(node_id=node_id, addr=address) for node_id, address in local.managers) or None,
    )
    cluster = context.cluster()
    if cluster is not None:
        section.control_available = True
        if cluster.leader_node_id is None:
            _, section.error = answer_to(NoLeader())
        else:
            _add_cluster(section, cluster)
    return section


def _add_cluster(section: Info, cluster: ClusterBackend) -> None:
    record = cluster.state.cluster
    section.cluster = None if record is None else cluster_to_wire(record, with_tokens=False)
    section.nodes = len(cluster.state.nodes)
    section.managers = len(cluster.state.managers)
    if section.managers == 2:
        section.warnings = (_TWO_MANAGERS_WARNING,)
