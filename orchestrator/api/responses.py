"""Answers in JSON."""

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web


def json_response(value: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """The value, wire structures included, as JSON."""
    # A newline at the end, as from Go's encoder, which every answer of Docker's comes from.
    body = msgspec.json.encode(value) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json")


def message_response(status: HTTPStatus, message: str) -> web.Response:
    """A refusal in Docker's form."""
    # A client may put bytes into a URL that are no text; echoed, they must not break the answer.
    readable = message.encode(errors="replace").decode()
    return json_response({"message": readable}, status)


def empty_response() -> web.Response:
    """Done, with nothing to say."""
    return web.Response(status=HTTPStatus.OK)
