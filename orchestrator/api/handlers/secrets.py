"""Secrets: list, create, inspect, update labels, remove. Content comes in and is never given back."""

from http import HTTPStatus

from aiohttp import web

from orchestrator.api.backend import ClusterBackend
from orchestrator.api.convert.files import secret_to_wire
from orchestrator.api.convert.units import labels
from orchestrator.api.handlers import files
from orchestrator.api.lookup import find_secret
from orchestrator.api.proposals import propose
from orchestrator.api.responses import empty_response, json_response
from orchestrator.control.file_validation import validate_file
from orchestrator.model.files import FileKind, Secret
from orchestrator.state.actions import CreateSecret, RemoveSecret, UpdateSecretLabels


async def list_secrets(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /secrets`."""
    filters = files.filters_of(request)
    listed = [secret_to_wire(secret) for secret in cluster.state.secrets.values() if files.matches(secret, filters)]
    return json_response(listed)


async def create(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`POST /secrets/create`."""
    spec, payload = await files.read_new(request, FileKind.SECRET)
    validate_file(FileKind.SECRET, spec.name, payload)
    secret_id = cluster.new_id()
    sealed = cluster.vault.seal(secret_id, payload)
    secret = Secret(
        id=secret_id, name=spec.name, sealed=sealed, labels=labels(spec.labels), templating=files.templating_of(spec)
    )
    await propose(cluster, [CreateSecret(secret)])
    return json_response({"ID": secret_id}, HTTPStatus.CREATED)


async def inspect(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /secrets/{id}`."""
    return json_response(secret_to_wire(find_secret(cluster.state, request.match_info["id"])))


async def update(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`POST /secrets/{id}/update`: labels alone; the same content may be sent again, as `docker stack deploy` does."""
    secret = find_secret(cluster.state, request.match_info["id"])
    payload = cluster.vault.open(secret.id, secret.sealed)
    version, new_labels = await files.read_new_labels(request, secret, FileKind.SECRET, payload)
    await propose(cluster, [UpdateSecretLabels(secret.id, version, new_labels)])
    return empty_response()


async def remove(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`DELETE /secrets/{id}`."""
    secret = find_secret(cluster.state, request.match_info["id"])
    await propose(cluster, [RemoveSecret(secret.id)])
    return files.removed()
