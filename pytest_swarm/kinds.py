"""How exactly a request got lost: a finer name within its class, from what the client and the service saw. Pure.

A kind begins with the name of its class, so kinds add up to classes, and classes to what was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol


class Circumstances(Protocol):
    """What a client's record tells of the end of a request; see `ClientRecord`."""

    @property
    def request_class(self) -> str: ...
    @property
    def stage(self) -> str: ...
    @property
    def reused(self) -> bool | None: ...
    @property
    def status(self) -> int | None: ...
    @property
    def error(self) -> str | None: ...


_REFUSALS = {"ECONNREFUSED": "no-listener", "EHOSTUNREACH": "no-route", "ENETUNREACH": "no-route"}
_CONNECT, _BODY = "connect", "body"


def kind_of(record: Circumstances, *, was_finished: bool) -> str:
    """Name the kind of a request; one without kinds keeps its class. `was_finished`: the service's log says so."""
    describe = _DESCRIBERS.get(record.request_class)
    if describe is None:
        return record.request_class
    return f"{record.request_class}-{describe(record, was_finished)}"


def _refused(record: Circumstances, _: bool) -> str:
    return _REFUSALS.get(record.error or "", "no-name")


def _reset(record: Circumstances, _: bool) -> str:
    if record.stage == _CONNECT:
        return "connecting"
    return "mid-body" if record.stage == _BODY else _connection(record, _)


def _connection(record: Circumstances, _: bool) -> str:
    if record.reused is None:
        return "unknown"
    return "reused" if record.reused else "fresh"


def _truncated(record: Circumstances, _: bool) -> str:
    return "body" if record.stage == _BODY else "head"


def _timed_out(record: Circumstances, was_finished: bool) -> str:
    """A hang and an answer that came too late look the same to the client; the service tells them apart."""
    if record.stage == _CONNECT:
        return "connecting"
    if was_finished:
        return "answered-late"
    return "mid-body" if record.stage == _BODY else "unanswered"


def _http_error(record: Circumstances, _: bool) -> str:
    if record.status is None:
        return "not-http"
    return "unversioned" if 200 <= record.status < 300 else str(record.status)


_DESCRIBERS: Mapping[str, Callable[[Circumstances, bool], str]] = {
    "refused": _refused,
    "reset": _reset,
    "closed-early": _connection,
    "truncated": _truncated,
    "timed-out": _timed_out,
    "http-error": _http_error,
}
