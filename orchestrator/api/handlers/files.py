"""What secrets and configs have in common: their requests differ only in what becomes of the content."""

import re
from http import HTTPStatus

from aiohttp import web

from orchestrator.api import requests
from orchestrator.api.convert.files import payload_from_wire
from orchestrator.api.convert.units import labels
from orchestrator.api.errors import BadRequest
from orchestrator.api.list_filters import Filters, parse_filters
from orchestrator.api.wire import files as wire
from orchestrator.model.errors import InvalidArgument, NotSupported
from orchestrator.model.files import TEMPLATING_DRIVER, ConfigObject, FileKind, Secret
from orchestrator.model.labels import Labels

FILTERS = ("id", "label", "name", "names")


def filters_of(request: web.Request) -> Filters:
    """The query's filters. Raises `BadRequest` for one that files do not have."""
    filters = parse_filters(request.query.get("filters", ""))
    filters.accept(FILTERS)
    return filters


def matches(item: Secret | ConfigObject, filters: Filters) -> bool:
    """Whether the item is to be listed: `names` are exact, `name` and `id` beginnings."""
    return (
        filters.exact("names", item.name)
        and filters.prefix("name", item.name)
        and filters.prefix("id", item.id)
        and filters.labels("label", item.labels)
    )


async def read_new(request: web.Request, kind: FileKind) -> tuple[wire.FileSpec, bytes]:
    """The spec and content of a new file. Raises `BadRequest`, and `NotSupported` for what would be ignored."""
    spec = await requests.read_body(request, wire.FileSpec)
    if kind is FileKind.SECRET and spec.driver is not None:
        if not spec.driver.name:
            raise InvalidArgument("secret driver must have a name")
        raise NotSupported(f"secret driver '{spec.driver.name}' is not supported: only the swarm itself keeps secrets")
    _refuse_templating(spec, kind)
    return spec, payload_from_wire(spec)


async def read_new_labels(
    request: web.Request, item: Secret | ConfigObject, kind: FileKind, payload: bytes
) -> tuple[int, Labels]:
    """(version, labels) of an update to `item`, whose content is `payload`. Raises for any other change."""
    spec = await requests.read_body(request, wire.FileSpec)
    version = _version(request, kind)
    _refuse_templating(spec, kind)
    is_other_template = spec.templating is not None and templating_of(spec) != item.templating
    if spec.name != item.name or is_other_template or (spec.data and payload_from_wire(spec) != payload):
        raise InvalidArgument("only updates to Labels are allowed")
    return version, labels(spec.labels)


def removed() -> web.Response:
    """The answer to a removal."""
    return web.Response(status=HTTPStatus.NO_CONTENT)


def templating_of(spec: wire.FileSpec) -> str:
    """The templating driver asked for; empty when there is none."""
    return spec.templating.name if spec.templating is not None else ""


def _refuse_templating(spec: wire.FileSpec, kind: FileKind) -> None:
    if spec.templating is not None and spec.templating.name not in ("", TEMPLATING_DRIVER):
        raise NotSupported(f"{kind} templating driver '{spec.templating.name}' is not supported")


def _version(request: web.Request, kind: FileKind) -> int:
    text = request.query.get("version", "")
    version = requests.uint64(text) if re.fullmatch("[0-9]+", text) else None
    if version is None:
        raise BadRequest(f"invalid {kind} version")
    return version
