"""The swarm's endpoints as an OpenAPI document, made of the application's own table of routes and wire structures."""

from typing import Any

import msgspec

from orchestrator.api.handlers import files, networks, nodes, services, tasks
from orchestrator.api.routes import ROUTES, Route
from orchestrator.api.wire.files import FileSpec
from orchestrator.api.wire.network import NetworkCreate
from orchestrator.api.wire.node import NodeSpec
from orchestrator.api.wire.service import ServiceSpec
from orchestrator.api.wire.swarm import InitRequest, JoinRequest, SwarmSpec, UnlockRequest

BODIES: dict[str, type[msgspec.Struct]] = {
    "/swarm/init": InitRequest,
    "/swarm/join": JoinRequest,
    "/swarm/unlock": UnlockRequest,
    "/swarm/update": SwarmSpec,
    "/nodes/{id}/update": NodeSpec,
    "/services/create": ServiceSpec,
    "/services/{id}/update": ServiceSpec,
    "/secrets/create": FileSpec,
    "/secrets/{id}/update": FileSpec,
    "/configs/create": FileSpec,
    "/configs/{id}/update": FileSpec,
    "/networks/create": NetworkCreate,
}
"""What POST reads there; elsewhere, if anything, an object that is the engine's business."""

STREAMS = ("/events",)
"""Answers that do not end by themselves."""

_QUERIES: dict[str, tuple[str, ...]] = {
    "/services": ("filters", "status"),
    "/services/{id}": ("insertDefaults",),
    "/services/{id}/update": ("version", "rollback", "registryAuthFrom"),
    "/services/{id}/logs": ("stdout", "stderr", "since", "tail", "timestamps", "details"),
    "/tasks/{id}/logs": ("stdout", "stderr", "since", "tail", "timestamps", "details"),
    "/swarm/update": ("version", "rotateWorkerToken", "rotateManagerToken", "rotateManagerUnlockKey"),
    "/swarm/leave": ("force",),
    "/nodes/{id}": ("force",),
    "/networks/{id}": ("scope", "verbose"),
}
_FILTERS: dict[str, tuple[str, ...]] = {
    "/configs": files.FILTERS,
    "/networks": networks.FILTERS,
    "/networks/prune": networks.PRUNE_FILTERS,
    "/nodes": nodes.FILTERS,
    "/secrets": files.FILTERS,
    "/services": services.FILTERS,
    "/tasks": tasks.FILTERS,
}
_NAMED = ("web", "n1", "files", "mesh")
"""Objects that are there, so that not every request ends at "not found"."""


def document() -> dict[str, Any]:
    """Every route that answers and ends."""
    refs, schemas = msgspec.json.schema_components(BODIES.values(), ref_template="#/components/schemas/{name}")
    bodies = dict(zip(BODIES, refs, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        if route.path not in STREAMS:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, bodies)
    return {
        "openapi": "3.1.0",
        "info": {"title": "swarm mode", "version": "1.45"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(route: Route, bodies: dict[str, Any]) -> dict[str, Any]:
    names = _QUERIES.get(route.path, ("filters",) if route.method == "GET" else ("version",))
    parameters = [_query(name, route.path) for name in names]
    if "{id}" in route.path:
        either = {"anyOf": [{"enum": list(_NAMED)}, {"type": "string", "minLength": 1}]}
        parameters.append({"name": "id", "in": "path", "required": True, "schema": either})
    operation: dict[str, Any] = {"parameters": parameters, "responses": {"default": {"description": "any"}}}
    if route.method == "POST":
        schema = bodies.get(route.path, {"type": "object"})
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _query(name: str, path: str) -> dict[str, Any]:
    text = {"type": "string"}
    if name != "filters" or path not in _FILTERS:
        return {"name": name, "in": "query", "schema": text}
    # A filter's values say more of what is there than they would by chance.
    value = {"anyOf": [{"enum": [*_NAMED, "label", "label=value", "overlay", "running", "manager"]}, text]}
    values = {"anyOf": [{"type": "array", "items": value}, {"type": "object", "additionalProperties": {"const": True}}]}
    schema = {"type": "object", "properties": dict.fromkeys(_FILTERS[path], values), "additionalProperties": False}
    return {"name": name, "in": "query", "content": {"application/json": {"schema": {"anyOf": [schema, text]}}}}
