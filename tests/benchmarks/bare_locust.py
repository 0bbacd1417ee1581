"""The client of our loads under nothing but Locust: no records, no budget, no control target, no schedule."""

from __future__ import annotations

import argparse
import itertools
from typing import Any, ClassVar

import gevent
from locust import User, constant, events, task
from locust.env import Environment
from locust.exception import StopUser

from workloads.locustfiles.http_client import ANSWERED, Settings, SingleShotClient


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: argparse.ArgumentParser, **_: Any) -> None:
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--keep-alive", action="store_true")


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def start(environment: Environment, **_: Any) -> None:
    options: Any = environment.parsed_options
    BareUser.numbers = itertools.count(1)
    BareUser.finished = 0
    gevent.spawn(_quit_when_done, environment, options.requests)


def _quit_when_done(environment: Environment, requests: int) -> None:
    runner = environment.runner
    assert runner is not None
    while BareUser.finished < requests:
        gevent.sleep(0.1)
    runner.quit()


class BareUser(User):
    """Sends, and tells Locust."""

    wait_time = constant(0)
    numbers: ClassVar[itertools.count[int]]
    finished: ClassVar[int]

    def on_start(self) -> None:
        options: Any = self.environment.parsed_options
        self.client = SingleShotClient("bare", Settings(keep_alive=options.keep_alive))
        self.server, _, port = options.target.rpartition(":")
        self.port = int(port)

    def on_stop(self) -> None:
        self.client.close()

    @task
    def send_one(self) -> None:
        options: Any = self.environment.parsed_options
        number = next(BareUser.numbers)
        if number > options.requests:
            raise StopUser
        outcome = self.client.send(f"run-{number:06d}", self.server, self.port)
        BareUser.finished += 1
        self.environment.events.request.fire(
            request_type="GET",
            name="/",
            response_time=(outcome.finished_monotonic - outcome.started_monotonic) * 1000,
            response_length=outcome.body_bytes,
            exception=None if outcome.request_class == ANSWERED else RuntimeError(outcome.request_class),
        )
