"""Nodes: list, inspect, update, remove."""

from aiohttp import web

from orchestrator.api import requests
from orchestrator.api.backend import ClusterBackend
from orchestrator.api.convert.node import node_to_wire, spec_from_wire
from orchestrator.api.list_filters import Filters, parse_filters
from orchestrator.api.lookup import find_node
from orchestrator.api.proposals import propose
from orchestrator.api.responses import empty_response, json_response
from orchestrator.api.wire import node as wire
from orchestrator.control.cluster_rules import check_role_change
from orchestrator.model.node import Node, NodeRole
from orchestrator.state.actions import RemoveNode, UpdateNodeSpec

FILTERS = ("id", "label", "membership", "name", "node.label", "role")


async def list_nodes(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /nodes`."""
    filters = parse_filters(request.query.get("filters", ""))
    filters.accept(FILTERS)
    roles = filters.choice("role", NodeRole)
    memberships = filters.choice("membership", ("accepted", "pending"))
    nodes = [
        _to_wire(node, cluster)
        for node in cluster.state.nodes.values()
        if _matches(node, filters)
        and (not roles or node.role.value in roles)
        # Every node in the state has been accepted: that happens as it joins.
        and (not memberships or "accepted" in memberships)
    ]
    return json_response(nodes)


async def inspect(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /nodes/{id}`."""
    return json_response(_to_wire(find_node(cluster.state, request.match_info["id"]), cluster))


async def update(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`POST /nodes/{id}/update`: what the operator wants of it; a change of role follows later, by itself."""
    body = await requests.read_body(request, wire.NodeSpec)
    version = requests.object_version(request, "node")
    spec = spec_from_wire(body)
    node = find_node(cluster.state, request.match_info["id"])
    check_role_change(node, spec, cluster.state.managers)
    await propose(cluster, [UpdateNodeSpec(node_id=node.id, version=version, spec=spec)])
    return empty_response()


async def remove(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`DELETE /nodes/{id}`."""
    node = find_node(cluster.state, request.match_info["id"])
    await propose(cluster, [RemoveNode(node_id=node.id, force=requests.flag(request, "force"))])
    return empty_response()


def _to_wire(node: Node, cluster: ClusterBackend) -> wire.Node:
    return node_to_wire(node, cluster.leader_node_id)


def _matches(node: Node, filters: Filters) -> bool:
    return (
        filters.prefix("name", node.description.hostname)
        and filters.prefix("id", node.id)
        and filters.labels("label", node.description.engine_labels)
        and filters.labels("node.label", node.spec.labels)
    )
