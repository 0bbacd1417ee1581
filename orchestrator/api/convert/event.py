"""The cluster's events in Docker's JSON, and which of them a client asked for."""

import re

from orchestrator.api.convert.units import NANOSECONDS, nanoseconds
from orchestrator.api.errors import BadRequest
from orchestrator.api.list_filters import Filters
from orchestrator.api.wire.event import Actor, Event
from orchestrator.control.cluster_events import ClusterEvent

SCOPE = "swarm"
_TIME = re.compile(r"(-?[0-9]+)(?:\.([0-9]{1,9}))?")
_BY_NAME = ("config", "container", "image", "network", "node", "plugin", "secret", "service", "volume", "daemon")
"""Filters by the id or name of what the event is about, each of which also leaves events of all other kinds out."""


def event_to_wire(event: ClusterEvent) -> Event:
    """An event of swarm scope."""
    at = nanoseconds(event.at)
    return Event(
        type=event.kind,
        action=event.action,
        actor=Actor(id=event.id, attributes=dict(event.attributes)),
        scope=SCOPE,
        time=at // NANOSECONDS,
        time_nano=at,
    )


def matches(event: ClusterEvent, filters: Filters) -> bool:
    """Whether the client asked for it; as moby's `daemon/events/filter.go`."""
    return (
        filters.exact("event", event.action)
        and filters.exact("scope", SCOPE)
        and filters.exact("type", event.kind)
        and all(_is_about(event, filters, name) for name in _BY_NAME)
        and filters.labels("label", event.attributes)
    )


def _is_about(event: ClusterEvent, filters: Filters, kind: str) -> bool:
    if kind not in filters:
        return True
    name = dict(event.attributes).get("name", "")
    return kind == event.kind and (filters.prefix(kind, event.id) or filters.prefix(kind, name))


def moment(text: str, name: str) -> float | None:
    """A `since` or `until` in seconds since the epoch, None when it was not given. Raises `BadRequest`."""
    if not text:
        return None
    if _TIME.fullmatch(text) is None:
        raise BadRequest(f'invalid {name}: strconv.ParseInt: parsing "{text}": invalid syntax')
    return float(text)
