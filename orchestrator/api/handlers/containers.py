"""Containers created by hand: the engine's, but those on one of the cluster's networks learn to ask for its names."""

from http import HTTPStatus

from aiohttp import web

from orchestrator.api import requests
from orchestrator.api.carried_networks import names_when_carried
from orchestrator.api.context import CONTEXT
from orchestrator.api.errors import BadRequest
from orchestrator.api.hand_started_rules import (
    has_own_resolver,
    lost_settings,
    networks_asked,
    networks_joined,
    resolver_settings,
    with_network_names,
    with_resolver,
    wrong_addresses,
)
from orchestrator.api.responses import json_response


async def create(request: web.Request) -> web.StreamResponse:
    """`POST /containers/create`: the engine's answer, to the same request or one with a resolv.conf mounted."""
    context = request.app[CONTEXT]
    body = await requests.read_object(request)
    body = with_network_names(body, await names_when_carried(request, networks_asked(body)))
    networks = networks_joined(body, context.lifecycle.network_configuration.networks)
    for problem in wrong_addresses(body, networks):
        raise BadRequest(problem)
    warnings = lost_settings(body, networks) if networks else []
    if networks and not has_own_resolver(body):
        body = with_resolver(body, await context.engine.resolver_file(resolver_settings(body, networks)))
    answer = await context.engine.request("POST", "/containers/create", dict(request.query), body)
    answer["Warnings"] = [*(answer.get("Warnings") or ()), *warnings]
    return json_response(answer, HTTPStatus.CREATED)
