"""Strategies: JSON shaped like a wire structure, with every kind of value that somebody may write there."""

import types
import typing
from typing import Any

import msgspec
from hypothesis import strategies as st

NASTY_TEXTS = (
    "",
    "web",
    "nginx:1",
    "a" * 62 + "!",
    "a/" * 300,
    "-" * 62 + "a!",
    "a" * 5000,
    "\x00",
    "ü\u202e",
    "{{.Node.Hostname}} {{",
    "../../etc/passwd",
    "/x:ro",
    "node.labels.a==b",
    "node.ip==10.0.0.0/8",
    "node.ip!=999",
    "10.0.0.0/33",
    "10.0.0.1/24",
    "swarm.drain",
    "9" * 400 + "h",
    "1e999",
    "-1",
    "on",
    "container",
    "tcp",
    "host",
    "pause",
    "any",
    "bind",
    "tmpfs",
    "volume",
)
EXTREME_NUMBERS = (0, 1, -1, 2, 80, 65535, 65536, 999_999, 10**6, 10**9, 2**31, 2**32, 2**53 + 1, 2**63 - 1, -(2**63))
TEXTS = st.sampled_from(NASTY_TEXTS) | st.text(max_size=20)
NUMBERS = st.sampled_from(EXTREME_NUMBERS) | st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.just(2**70) | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def shaped(kind: Any) -> st.SearchStrategy[Any]:
    """JSON that fits the type, its values extreme."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated or hasattr(kind, "__metadata__"):
        return NUMBERS
    if origin in (types.UnionType, typing.Union):
        return st.none() | shaped(next(part for part in arguments if part is not types.NoneType))
    if origin is tuple:
        return st.lists(shaped(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(TEXTS, TEXTS if arguments[1] is str else JSON, max_size=3)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structured(kind)
    return {str: TEXTS, bool: st.booleans(), float: FLOATS, int: NUMBERS}.get(kind, JSON)


def structured(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of the structure's fields."""
    fields = {field.encode_name: shaped(field.type) for field in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def corrupted(draw: st.DrawFn, kind: type[msgspec.Struct]) -> Any:
    """As `structured`, with nonsense in some place of it."""
    value = draw(structured(kind))
    place: Any = value
    while isinstance(place, dict) and place:
        key = draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or draw(st.booleans()):
            place[key] = draw(JSON)
            break
        place = place[key]
    return value


def anything_like(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """What fits, what nearly does, and what does not at all."""
    return structured(kind) | corrupted(kind) | JSON
