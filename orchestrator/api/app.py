"""The application: the table of routes with what every answer has in common around it."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from orchestrator.api.backend import ClusterBackend, EngineClient, Lifecycle
from orchestrator.api.context import API_VERSION, CONTEXT, MIN_API_VERSION, Context, api_version
from orchestrator.api.errors import BadRequest, RequestError, answer_to
from orchestrator.api.responses import message_response
from orchestrator.api.routes import add_routes
from orchestrator.model.errors import ClusterError
from orchestrator.model.limits import MAX_API_BODY_BYTES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_logger = logging.getLogger(__name__)
_LOGGED_CHARACTERS = 500


def create_app(
    lifecycle: Lifecycle,
    cluster: Callable[[], ClusterBackend | None],
    engine: EngineClient,
    *,
    forwards: bool = True,
) -> web.Application:
    """The Docker Engine API for swarm mode.

    `cluster` gives the cluster while this node is a running manager, else None. `forwards` is False for the instance
    that answers other managers: a request is handed on once at most.
    """
    application = web.Application(middlewares=[refusals, versions], client_max_size=MAX_API_BODY_BYTES)
    application[CONTEXT] = Context(lifecycle=lifecycle, cluster=cluster, engine=engine, forwards=forwards)
    application.on_response_prepare.append(_add_headers)
    add_routes(application)
    return application


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every refusal into Docker's JSON, and a bug into one line for the user and a traceback for the log."""
    try:
        return await handler(request)
    except (ClusterError, RequestError) as error:
        status, message = answer_to(error)
        # Shown as a literal and cut: what it echoes of the request may be long, and may look like lines of our own.
        _logger.info("refused: %r", message[:_LOGGED_CHARACTERS], extra={"method": request.method, "status": status})
        return message_response(status, message)
    except web.RequestPayloadError:
        return message_response(HTTPStatus.BAD_REQUEST, "invalid request body: it is not what its headers say")
    except web.HTTPRequestEntityTooLarge:
        return message_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request body too large")
    except web.HTTPException as error:
        if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return message_response(HTTPStatus.NOT_FOUND, "page not found")
        return message_response(HTTPStatus(error.status), error.reason)
    except Exception:
        _logger.exception("request failed", extra={"method": request.method, "path": request.path})
        return message_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error: see the log of swarmd")


@web.middleware
async def versions(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses API versions we do not speak."""
    version = api_version(request)
    if version > API_VERSION:
        raise BadRequest(
            f"client version {_text(version)} is too new. Maximum supported API version is {_text(API_VERSION)}"
        )
    if version < MIN_API_VERSION:
        raise BadRequest(
            f"client version {_text(version)} is too old. Minimum supported API version is {_text(MIN_API_VERSION)}, "
            "please upgrade your client to a newer version"
        )
    return await handler(request)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Api-Version", _text(API_VERSION))
    response.headers.setdefault("Docker-Experimental", "false")
    response.headers.setdefault("Ostype", "linux")
    response.headers["Server"] = "swarmd (linux)"


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
