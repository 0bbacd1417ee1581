"""Keeps records of somebody else's Locust file, which runs unchanged beside this one.

    python -m locust -f theirs.py,observed.py --host http://n1:8080 --run-time 30s --stop-timeout 35s ...

All that is known of a request is what Locust's `request` event says when it has ended: nothing of its connection, and
no id that the service could log. What the file's client hides from Locust, it hides from these records. The settings
come from the environment, so that no argument of theirs can clash with one of ours.
"""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import gevent
from locust import FastHttpUser, HttpUser, events
from locust.env import Environment

from workloads.locustfiles.control import ControlWatch
from workloads.locustfiles.http_client import (
    ANSWERED,
    CLOSED_EARLY,
    HTTP_ERROR,
    TIMED_OUT,
    TRUNCATED,
    Outcome,
    Settings,
    classify,
    name_of,
)
from workloads.locustfiles.records import RecordFile

_FLUSH_SECONDS = 0.2
_LAST_LOOK_SECONDS = 0.1
"""How long before Locust kills its users they are counted."""
_CONTROL_TIMEOUTS = Settings()
# Where urllib3 and geventhttpclient keep the error that they wrap, and what the latter's own are called.
_WRAPPED = ("reason", "original")
_CLASS_OF_NAMES = {
    TIMED_OUT: "Timeout",
    CLOSED_EARLY: "HTTPConnectionClosed",
    TRUNCATED: "HTTPParseError",
}
_STAGES = {"refused": "connect", "truncated": "body", "answered": "done", "http-error": "done"}


class Observer:
    """Numbers requests as they end, and writes the same files as a load of ours."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._directory = pathlib.Path(os.environ["SWARM_RECORDS"])
        self._run_id = os.environ["SWARM_RUN_ID"]
        self._records = RecordFile(self._directory / "requests.jsonl")
        self._control = self._watch_control(os.environ["SWARM_CONTROL"])
        self._flusher = gevent.spawn(self._flush)
        self.finished = 0
        self._in_flight = 0
        self._last_look: gevent.Greenlet | None = None

    def note(self, event: dict[str, Any]) -> None:
        """Write down a request that has ended."""
        self.finished += 1
        self._records.write(self._outcome(event))

    def begin_to_stop(self) -> None:
        """Look after the users that are in a task still when Locust's patience with them ends: it kills them then.

        A request that is killed fires no event: it would be in no book at all.
        """
        patience = self._environment.stop_timeout or 0.0
        self._last_look = gevent.spawn_later(max(patience - _LAST_LOOK_SECONDS, 0.0), self._look)

    def _look(self) -> None:
        runner = self._environment.runner
        self._in_flight = len(runner.user_greenlets) if runner is not None else 0

    def close(self) -> None:
        """End the books when Locust has stopped its users."""
        self._flusher.kill()
        if self._last_look is not None:
            self._last_look.kill()
        self._records.close()
        if self._control is not None:
            self._control.stop()
        account = {"requested": self.finished, "in_flight": self._in_flight, "clients": sorted(self._clients())}
        (self._directory / "end.json").write_text(json.dumps(account), encoding="utf-8")

    def _outcome(self, event: dict[str, Any]) -> Outcome:
        seconds = event["response_time"] / 1000
        started = event.get("start_time") or time.time() - seconds
        outcome = Outcome(f"{self._run_id}-{self.finished:06d}", str(self._environment.host), started, 0.0, reused=None)
        outcome.finished, outcome.finished_monotonic = outcome.scheduled + seconds, seconds
        outcome.method, outcome.path = event["request_type"], event["name"]
        outcome.body_bytes = event["response_length"]
        response = event.get("response")
        outcome.status = getattr(response, "status_code", None) or None
        outcome.version = (getattr(response, "headers", None) or {}).get("X-Version")
        outcome.request_class, outcome.error, outcome.detail = fate_of(event["exception"])
        outcome.stage = _STAGES.get(outcome.request_class, "head")
        return outcome

    def _clients(self) -> set[str]:
        kinds = {"FastHttpUser": FastHttpUser, "HttpUser": HttpUser}
        found = set()
        for user_class in self._environment.user_classes:
            found.add(next((name for name, kind in kinds.items() if issubclass(user_class, kind)), user_class.__name__))
        return found

    def _watch_control(self, address: str) -> ControlWatch | None:
        if not address:
            return None
        host, _, port = address.rpartition(":")
        return ControlWatch(host, int(port), _CONTROL_TIMEOUTS, self._directory / "control.jsonl")

    def _flush(self) -> None:
        while True:
            gevent.sleep(_FLUSH_SECONDS)
            self._records.flush()


def fate_of(exception: BaseException | None) -> tuple[str, str | None, str | None]:
    """Return the class, the error's name and the words for what Locust was told of a request.

    Clients wrap the error of the socket several times; the innermost that says how the request ended decides. What the
    file itself declares a failure was answered, only not as it should be.
    """
    if exception is None:
        return ANSWERED, None, None
    detail = f"{type(exception).__name__}: {exception}"
    chain = list(_chain(exception))
    names = [type(cause).__name__ for cause in chain]
    if known := _innermost(chain, _tells_the_end):
        return classify(known, "head")[0], name_of(known), detail
    for request_class, word in _CLASS_OF_NAMES.items():
        if any(word in name for name in names):
            return request_class, names[0], detail
    if known := _innermost(chain, lambda cause: isinstance(cause, http.client.HTTPException)):
        return classify(known, "head")[0], name_of(known), detail
    return HTTP_ERROR, names[0], detail


def _innermost(
    chain: list[BaseException], is_wanted: Callable[[BaseException], bool]
) -> OSError | http.client.HTTPException | None:
    found = next((cause for cause in reversed(chain) if is_wanted(cause)), None)
    return cast("OSError | http.client.HTTPException | None", found)


def _tells_the_end(error: BaseException) -> bool:
    return _is_numbered(error) or isinstance(error, TimeoutError | socket.gaierror)


def _is_numbered(error: BaseException) -> bool:
    return isinstance(error, OSError) and bool(error.errno)


def _chain(error: BaseException, depth: int = 8) -> Iterator[BaseException]:
    """An error and what lies within it, outermost first."""
    yield error
    inner = [error.__cause__, error.__context__, *(getattr(error, name, None) for name in _WRAPPED), *error.args]
    for each in inner:
        if isinstance(each, BaseException) and depth:
            yield from _chain(each, depth - 1)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def start(environment: Environment, **_: Any) -> None:
    observer = Observer(environment)
    environment.events.request.add_listener(lambda **event: observer.note(event))  # type: ignore[no-untyped-call]
    environment.events.test_stopping.add_listener(lambda **_: observer.begin_to_stop())  # type: ignore[no-untyped-call]
    environment.events.test_stop.add_listener(lambda **_: observer.close())  # type: ignore[no-untyped-call]
