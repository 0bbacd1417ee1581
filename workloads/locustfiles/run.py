"""What every load of ours shares: its arguments, the budget of requests, the records, and how a run ends.

Every request goes through `SingleShotClient`, which never retries, and fires Locust's own `request` event, so that
Locust's statistics, CSV and HTML agree with our records.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import time
from typing import Any

import gevent
from locust import events, stats
from locust.env import Environment

from workloads.locustfiles.control import ControlWatch
from workloads.locustfiles.http_client import ANSWERED, UNSENT, Moment, Outcome, Settings, SingleShotClient
from workloads.locustfiles.records import RecordFile, RequestBudget, write_account
from workloads.locustfiles.targets import Targets, parse_targets

_FLUSH_SECONDS = 0.2
_CSV_SECONDS = 0.25
_TOTAL_TIMEOUT_MARGIN = 1.0

# Locust's own way to set this; by default it writes its CSV once a second, and never at the end.
stats.CSV_STATS_INTERVAL_SEC = _CSV_SECONDS  # type: ignore[assignment] # it is only slept for


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: argparse.ArgumentParser, **_: Any) -> None:
    group = parser.add_argument_group("single shot")
    group.add_argument("--requests", type=int, default=500, help="how many requests are sent together")
    group.add_argument("--targets", default="127.0.0.1:8080", help="HOST:PORT[,HOST:PORT...], used in turn")
    group.add_argument("--targets-file", type=pathlib.Path, help="a file that says them, and may change at any time")
    group.add_argument("--records", default=".", help="folder for requests.jsonl and end.json")
    group.add_argument("--run-id", default="run", help="prefix of every X-Request-Id")
    group.add_argument("--method", default="GET", choices=["GET", "POST"])
    group.add_argument("--path", default="/")
    group.add_argument("--body-bytes", type=int, default=1, help="size of a POST's body")
    group.add_argument("--body-seconds", type=float, default=0.0, help="the body is sent over so many seconds")
    group.add_argument("--connect-timeout", type=float, default=5.0, help="seconds")
    group.add_argument("--read-timeout", type=float, default=30.0, help="seconds")
    group.add_argument("--deadline", type=float, default=300.0, help="seconds after which nothing more is sent")
    group.add_argument("--control", default="", help="HOST:PORT of the control target (default: none)")
    group.add_argument("--keep-alive", action="store_true", help="connections are used again")


class Run:
    """What the users of one process share: the budget, the records and the turn of the targets."""

    def __init__(self, environment: Environment) -> None:
        options: Any = environment.parsed_options
        self.options = options
        self.environment = environment
        self.budget = RequestBudget(options.requests)
        self._directory = pathlib.Path(options.records)
        self.records = RecordFile(self._directory / "requests.jsonl")
        self._control = self._watch_control() if options.control else None
        self._names = itertools.count()
        self._targets = Targets(options.targets_file or parse_targets(options.targets))

    @property
    def longest_request(self) -> float:
        """Seconds after which every request has ended, whatever its peer does."""
        options = self.options
        timeouts: float = options.connect_timeout + options.body_seconds + options.read_timeout
        return timeouts + _TOTAL_TIMEOUT_MARGIN

    def new_client(self) -> SingleShotClient:
        """Return a client of its own for one user; with --first-source-port, bound to a port of its own."""
        options = self.options
        number = next(self._names)
        first_port = getattr(options, "first_source_port", None)
        settings = Settings(
            connect_timeout=options.connect_timeout,
            read_timeout=options.read_timeout,
            keep_alive=options.keep_alive,
            source_port=None if first_port is None else first_port + number,
        )
        return SingleShotClient(f"u{number}", settings)

    def send(self, client: SingleShotClient, number: int, due: Moment | None = None) -> Outcome:
        """Send one request of the budget, and put down what became of it."""
        host, port = self._targets.next()
        options = self.options
        body = b"x" * options.body_bytes if options.method == "POST" else None
        total = self.longest_request
        # The client's timeouts are per read: a peer that drips bytes for ever needs a limit on the whole exchange.
        with gevent.Timeout(total, TimeoutError(f"no complete answer within {total:g} s")):
            outcome = client.send(
                self._request_id(number),
                host,
                port,
                method=options.method,
                path=options.path,
                body=body,
                body_seconds=options.body_seconds,
                due=due,
            )
        self._put_down(outcome)
        return outcome

    def leave_unsent(self, number: int, due: Moment, reason: str) -> None:
        """Put down a request of the budget that is not sent."""
        self._put_down(self._unsent(number, due, reason))

    def watch(self) -> None:
        """End the run when the budget is spent; stop sending at the deadline. Requests in flight always finish."""
        deadline = time.monotonic() + self.options.deadline
        # A user that died of a defect never finishes its request: leave then, and let the account show it.
        give_up = deadline + self.longest_request + _TOTAL_TIMEOUT_MARGIN
        while not self.budget.spent and time.monotonic() < give_up:
            gevent.sleep(_FLUSH_SECONDS)
            self.records.flush()
            if time.monotonic() > deadline:
                self.budget.close()
        # Give Locust's CSV time for the last figures.
        gevent.sleep(2 * _CSV_SECONDS)
        self._record_unsent()
        self.records.close()
        if self._control is not None:
            self._control.stop()
        write_account(self._directory / "end.json", self.budget)
        assert self.environment.runner is not None
        self.environment.runner.quit()

    def _watch_control(self) -> ControlWatch:
        ((host, port),) = parse_targets(self.options.control)
        timeouts = Settings(self.options.connect_timeout, self.options.read_timeout)
        return ControlWatch(host, port, timeouts, self._directory / "control.jsonl")

    def _request_id(self, number: int) -> str:
        return f"{self.options.run_id}-{number:06d}"

    def _put_down(self, outcome: Outcome) -> None:
        self.budget.finished += 1
        self.records.write(outcome)
        if outcome.request_class != UNSENT:
            _fire_request_event(self.environment, outcome)

    def _unsent(self, number: int, due: Moment, reason: str) -> Outcome:
        now = Moment.now()
        outcome = Outcome(self._request_id(number), "", due.epoch, due.monotonic, detail=reason)
        outcome.finished, outcome.finished_monotonic = now
        return outcome

    def _record_unsent(self) -> None:
        reason = f"not sent within the deadline of {self.options.deadline:g} s"
        for number in range(self.budget.started + 1, self.budget.total + 1):
            self.records.write(self._unsent(number, Moment.now(), reason))


def _fire_request_event(environment: Environment, outcome: Outcome) -> None:
    failed = outcome.request_class != ANSWERED
    environment.events.request.fire(  # type: ignore[no-untyped-call]
        request_type=outcome.method,
        name=outcome.path,
        response_time=(outcome.finished_monotonic - outcome.started_monotonic) * 1000,
        response_length=outcome.body_bytes,
        response=None,
        context={"request_id": outcome.request_id},
        exception=RuntimeError(outcome.request_class) if failed else None,
        start_time=outcome.scheduled,
        url=f"http://{outcome.target}{outcome.path}",
    )
