"""Configs: list, create, inspect, update labels, remove."""

from http import HTTPStatus

from aiohttp import web

from orchestrator.api.backend import ClusterBackend
from orchestrator.api.convert.files import config_to_wire
from orchestrator.api.convert.units import labels
from orchestrator.api.handlers import files
from orchestrator.api.lookup import find_config
from orchestrator.api.proposals import propose
from orchestrator.api.responses import empty_response, json_response
from orchestrator.control.file_validation import validate_file
from orchestrator.model.files import ConfigObject, FileKind
from orchestrator.state.actions import CreateConfig, RemoveConfig, UpdateConfigLabels


async def list_configs(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /configs`."""
    filters = files.filters_of(request)
    listed = [config_to_wire(config) for config in cluster.state.configs.values() if files.matches(config, filters)]
    return json_response(listed)


async def create(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`POST /configs/create`."""
    spec, payload = await files.read_new(request, FileKind.CONFIG)
    validate_file(FileKind.CONFIG, spec.name, payload)
    config = ConfigObject(
        id=cluster.new_id(),
        name=spec.name,
        data=payload,
        labels=labels(spec.labels),
        templating=files.templating_of(spec),
    )
    await propose(cluster, [CreateConfig(config)])
    return json_response({"ID": config.id}, HTTPStatus.CREATED)


async def inspect(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /configs/{id}`."""
    return json_response(config_to_wire(find_config(cluster.state, request.match_info["id"])))


async def update(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`POST /configs/{id}/update`: labels alone; the same content may be sent again, as `docker stack deploy` does."""
    config = find_config(cluster.state, request.match_info["id"])
    version, new_labels = await files.read_new_labels(request, config, FileKind.CONFIG, config.data)
    await propose(cluster, [UpdateConfigLabels(config.id, version, new_labels)])
    return empty_response()


async def remove(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`DELETE /configs/{id}`."""
    config = find_config(cluster.state, request.match_info["id"])
    await propose(cluster, [RemoveConfig(config.id)])
    return files.removed()
