"""Reads what a request says: its JSON body and its query, with Go's tolerance and Docker's complaints."""

import re
import types
import typing
from functools import cache
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from orchestrator.api.errors import BadRequest

Body = TypeVar("Body", bound=msgspec.Struct)

DEPTH_MAX = 100
"""Levels that a body's objects and arrays may be nested; the Engine API's own take some ten."""

_MAX_UINT64 = 2**64 - 1
_UINT64_DIGITS = 20
_FALSE = frozenset(("", "0", "no", "false", "none"))
_GO_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_GO_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


async def read_body(request: web.Request, kind: type[Body]) -> Body:
    """The request's JSON body as `kind`; an empty body is an empty object. Raises `BadRequest`."""
    data = await request.read()
    if not data:
        return parse_object({}, kind)
    if request.headers.get("Content-Type") and request.content_type != "application/json":
        raise BadRequest(f"unsupported Content-Type header ({request.content_type}): must be 'application/json'")
    return parse_object(_decoded(data), kind)


async def read_object(request: web.Request) -> dict[str, Any]:
    """The request's JSON object as it is, to be handed on to the engine. Raises `BadRequest`."""
    data = await request.read()
    if not data:
        raise BadRequest("invalid JSON: got EOF while reading request body")
    value = _decoded(data)
    if not isinstance(value, dict):
        raise BadRequest("invalid JSON: not an object")
    return value


def _decoded(data: bytes) -> Any:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadRequest(f"invalid JSON: {error}") from error
    if _is_deep(value):
        raise BadRequest(f"invalid JSON: nested deeper than {DEPTH_MAX} levels")
    return value


def _is_deep(value: Any) -> bool:
    """Whether objects and arrays are nested deeper than may be; what walks them afterwards may recurse."""
    level = [value]
    for _ in range(DEPTH_MAX):
        nested = (item for item in level if isinstance(item, dict | list))
        level = [inner for item in nested for inner in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, dict | list) for item in level)


def parse_object(value: Any, kind: type[Body]) -> Body:
    """A decoded JSON value as `kind`: keys in any case, null as absent, unknown keys ignored, as in Go.

    Raises `BadRequest` for a value of the wrong type, naming its place.
    """
    try:
        return msgspec.convert(_go_keys(value, kind), kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"invalid JSON: {_negative_number(str(error), value, kind) or error}") from error


def _negative_number(complaint: str, value: Any, kind: type[Body]) -> str:
    """Go's words for a negative number where none may be, what users get for replicas below 0; else empty."""
    found = re.fullmatch(r"Expected `int` >= 0 - at `\$\.([\w.\[\]]+)`", complaint)
    if found is None:
        return ""
    structure: Any = kind
    names = re.sub(r"\[\d+\]", "", found[1]).split(".")
    for name in names[:-1]:
        structure = _element(_without_none(_fields(structure)[name.lower()][1]))
    number = _value_at(_go_keys(value, kind), found[1])
    _, field_type = _fields(structure)[names[-1].lower()]
    place = f"{structure.__name__}.{'.'.join(names)}"
    return f"json: cannot unmarshal number {number} into Go struct field {place} of type {_go_name(field_type)}"


def _element(kind: Any) -> Any:
    """The type of a sequence's elements; of what is none, the type itself."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind


def _value_at(value: Any, path: str) -> Any:
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        value = value[name] if name else value[int(index)]
    return value


def _go_name(kind: Any) -> str:
    """The Go type that a field's annotation is named after."""
    (meta,) = _without_none(kind).__metadata__
    return str(meta.title)


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    """Lower-case name -> (exact name, type of the value) of a structure's fields."""
    return {field.encode_name.lower(): (field.encode_name, field.type) for field in msgspec.structs.fields(kind)}


def _go_keys(value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        arguments = typing.get_args(kind)
        return [_go_keys(item, arguments[0]) for item in value] if arguments else value
    if not isinstance(value, dict):
        return value
    structure = _structure_in(kind)
    if structure is None:
        return {key: item for key, item in value.items() if item is not None}
    known = _fields(structure)
    result = {}
    for key, item in value.items():
        name, item_kind = known.get(key.lower(), (None, None))
        if name is not None and item is not None:
            result[name] = _go_keys(item, _without_none(item_kind))
    return result


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return next(part for part in typing.get_args(kind) if part is not types.NoneType)
    return kind


def _structure_in(kind: Any) -> type[msgspec.Struct] | None:
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def flag(request: web.Request, name: str) -> bool:
    """A switch in the query: true unless absent, empty, 0, no, false or none."""
    return request.query.get(name, "").strip().lower() not in _FALSE


def strict_flag(request: web.Request, name: str) -> bool:
    """A switch in the query that only takes Go's spellings of a boolean. Raises `BadRequest`."""
    text = request.query.get(name, "")
    if text and text not in _GO_TRUE | _GO_FALSE:
        raise BadRequest(f"invalid value for {name}: {text}")
    return text in _GO_TRUE


def object_version(request: web.Request, kind: str) -> int:
    """The query's `version` of a service, node or swarm. Raises `BadRequest`, in the words of Go's parser."""
    text = request.query.get("version", "")
    if not re.fullmatch("[0-9]+", text):
        raise BadRequest(f"invalid {kind} version '{text}': strconv.ParseUint: parsing \"{text}\": invalid syntax")
    if (number := uint64(text)) is None:
        raise BadRequest(f"invalid {kind} version '{text}': strconv.ParseUint: parsing \"{text}\": value out of range")
    return number


def uint64(digits: str) -> int | None:
    """The number that ASCII digits write; None when it is beyond 64 bits, however long the text."""
    significant = digits.lstrip("0") or "0"
    # Python refuses to convert thousands of digits at all.
    number = int(significant) if len(significant) <= _UINT64_DIGITS else _MAX_UINT64 + 1
    return number if number <= _MAX_UINT64 else None
