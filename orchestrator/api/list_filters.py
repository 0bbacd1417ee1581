"""The `filters` of list requests: parsing, and how each kind of filter matches."""

from collections.abc import Iterable, Mapping

import msgspec

from orchestrator.api.errors import BadRequest
from orchestrator.api.pattern_rules import Pattern, TooComplex, pattern_of


class Filters:
    """Filter name -> values; a listed object must match one value of every filter."""

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self._values = dict(values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def values(self, name: str) -> tuple[str, ...]:
        """The filter's values; empty when it was not given."""
        return self._values.get(name, ())

    def accept(self, names: Iterable[str]) -> None:
        """Raise `BadRequest` for a filter that is none of `names`."""
        known = set(names)
        for name in self._values:
            if name not in known:
                raise BadRequest(f"invalid filter '{name}'")

    def prefix(self, name: str, text: str) -> bool:
        """Whether `text` begins with one of the filter's values, or the filter was not given."""
        values = self.values(name)
        return not values or text.startswith(values)

    def exact(self, name: str, text: str) -> bool:
        """Whether `text` is one of the filter's values, or the filter was not given."""
        values = self.values(name)
        return not values or text in values

    def patterns(self, name: str) -> tuple[Pattern, ...]:
        """The filter's values as regular expressions. Raises `BadRequest` for one that might take for ever."""
        try:
            return tuple(pattern_of(value) for value in self.values(name))
        except TooComplex as error:
            raise BadRequest(f"invalid filter '{name}': {error}") from error

    def labels(self, name: str, labels: Iterable[tuple[str, str]]) -> bool:
        """Whether the labels hold every one of the filter's: "key" (any value) or "key=value"."""
        given = dict(labels)
        for value in self.values(name):
            key, _, wanted = value.partition("=")
            if key not in given or (wanted and given[key] != wanted):
                return False
        return True

    def choice(self, name: str, known: Iterable[str]) -> tuple[str, ...]:
        """The filter's values in lower case. Raises `BadRequest` for one that is not `known`."""
        choices = set(known)
        values = tuple(value.lower() for value in self.values(name) if value)
        for value in values:
            if value not in choices:
                raise BadRequest(f"Invalid {name} filter: '{value}'")
        return values


def parse_filters(text: str) -> Filters:
    """The query's `filters`: {"name": {"value": true}} or the older {"name": ["value"]}. Raises `BadRequest`."""
    if not text:
        return Filters({})
    try:
        raw = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest("invalid filter") from error
    if not isinstance(raw, dict):
        raise BadRequest("invalid filter")
    return Filters({name: _values(values) for name, values in raw.items()})


def _values(raw: object) -> tuple[str, ...]:
    if raw is None:
        return ()
    if isinstance(raw, dict) and all(isinstance(value, bool) for value in raw.values()):
        return tuple(raw)
    if isinstance(raw, list) and all(isinstance(value, str) for value in raw):
        return tuple(raw)
    raise BadRequest("invalid filter")
