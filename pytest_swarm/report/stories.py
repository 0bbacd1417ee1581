"""The stories of requests as columns: what many of them share is kept once, as a text that numbers refer to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy

from pytest_swarm.ledger import UNSENT, ClientRecord, Entry, ServerEvent
from pytest_swarm.phases import slots_replaced_at
from pytest_swarm.report.timeline import Bar

# For a moment that never came: Bokeh formats any number but NaN.
NEVER = float("inf")


class Stories:
    """Collects the texts while it makes columns: a whole story for each of 100,000 requests would be most of a page."""

    def __init__(self, origin: float, *, is_logged: bool) -> None:
        self._origin = origin
        self._is_logged = is_logged
        self._numbers: dict[str, int] = {}

    @property
    def texts(self) -> list[str]:
        """The texts in the order of their numbers; complete when all columns have been made."""
        return list(self._numbers)

    def columns(self, bars: Sequence[Bar]) -> dict[str, Any]:
        """Return what is told of each request: numbers of texts, and seconds (since the origin, where a moment)."""
        entries = [bar.entry for bar in bars]
        return {
            "id": [entry.record.request_id for entry in entries],
            "seconds": _floats(entry.record.seconds for entry in entries),
            "age": _floats(_age(entry.record) for entry in entries),
            "received": _floats(self._moment(entry.received[:1]) for entry in entries),
            "served": _floats(self._moment(entry.finished[-1:]) for entry in entries),
            "fate": self._coded(_fate(entry) for entry in entries),
            "client": self._coded(_client_side(entry.record) for entry in entries),
            "answer": self._coded(_answer(entry) for entry in entries),
            "server": self._coded(self._server_side(entry) for entry in entries),
        }

    def _coded(self, texts: Iterable[str]) -> Any:
        return numpy.array([self._numbers.setdefault(text, len(self._numbers)) for text in texts], "uint32")

    def _moment(self, events: Sequence[ServerEvent]) -> float:
        return events[0].time - self._origin if events else NEVER

    def _server_side(self, entry: Entry) -> str:
        if len(entry.finished) > 1:
            return f"finished {len(entry.finished)} times: by {_places(entry.finished)}"
        if entry.finished:
            return f"finished by {_places(entry.finished)}"
        if entry.received:
            return f"received but not finished by {_places(entry.received)}"
        return "never received" if self._is_logged else "keeps no log"


def _fate(entry: Entry) -> str:
    slots = slots_replaced_at(entry.ended_in, entry.record.finished)
    replacing = f", while replacing {', '.join(slots)}" if slots else ""
    return f"{entry.kind} in phase {entry.ended_in.name}{replacing}"


def _client_side(record: ClientRecord) -> str:
    if record.connection is None:
        return f"to {record.target}, without a connection"
    if not record.reused:
        return f"to {record.target}, on a fresh connection"
    return f"to {record.target}, as request {record.nth_on_connection} on its connection"


def _age(record: ClientRecord) -> float:
    return record.connection_age if record.reused else NEVER


def _answer(entry: Entry) -> str:
    record = entry.record
    if entry.request_class == UNSENT:
        return record.detail or "never sent"
    parts = [
        f"status {record.status}" if record.status is not None else "",
        f"version {record.version}" if record.version is not None else "",
        record.detail or "",
    ]
    return ", ".join(part for part in parts if part) or f"ended in stage {record.stage}"


def _places(events: Sequence[ServerEvent]) -> str:
    return " and ".join(f"task {event.task} at node {event.node}" for event in events)


def _floats(values: Iterable[float]) -> Any:
    return numpy.array(list(values), "float32")
