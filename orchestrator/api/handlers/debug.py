"""What a node knows of the consensus and of the networks: for diagnosis, at no stable form."""

from typing import Any

import msgspec
from aiohttp import web

from orchestrator.api.context import CONTEXT
from orchestrator.api.responses import json_response


async def swarm(request: web.Request) -> web.StreamResponse:
    """`GET /debug/swarm`: this node's view, asked of nobody else; it stands beside dockerd's own `/debug` paths.

    `consensus` is null on what is no manager; `network` is what this node's balancer and name server go by.
    """
    lifecycle = request.app[CONTEXT].lifecycle
    answer: dict[str, Any] = {
        "local": msgspec.to_builtins(lifecycle.local),
        "consensus": msgspec.to_builtins(lifecycle.consensus),
        "network": msgspec.to_builtins(lifecycle.network_configuration),
    }
    return json_response(answer)
