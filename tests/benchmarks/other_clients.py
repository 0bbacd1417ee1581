"""A Locust file with the clients Locust ships, each request sent once by its user; for the comparison only."""

from __future__ import annotations

import argparse
import itertools
from typing import Any, ClassVar

import gevent
from locust import FastHttpUser, HttpUser, User, constant, events, task
from locust.env import Environment
from locust.exception import StopUser


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: argparse.ArgumentParser, **_: Any) -> None:
    parser.add_argument("--total", type=int, required=True)
    parser.add_argument("--targets", required=True)
    parser.add_argument("--patience", type=float, required=True)
    parser.add_argument("--fresh", action="store_true")


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def start(environment: Environment, **_: Any) -> None:
    options: Any = environment.parsed_options
    Numbered.numbers = iter(range(1, options.total + 1))
    Numbered.targets = itertools.cycle(options.targets.split(","))
    gevent.spawn(_quit_when_done, environment)


def _quit_when_done(environment: Environment) -> None:
    runner = environment.runner
    assert runner is not None
    while Numbered.unfinished or not Numbered.spent:
        gevent.sleep(0.2)
    gevent.sleep(2.0)  # for Locust's last line of CSV, which it writes once a second
    runner.quit()


class Numbered(User):
    """Takes the next number, sends it to the next target, and counts those under way."""

    abstract = True
    wait_time = constant(0)
    host = "http://127.0.0.1"
    numbers: ClassVar[Any]
    targets: ClassVar[Any]
    unfinished: ClassVar[int] = 0
    spent: ClassVar[bool] = False

    @task
    def send_one(self) -> None:
        number = next(Numbered.numbers, None)
        if number is None:
            Numbered.spent = True
            raise StopUser
        options: Any = self.environment.parsed_options
        headers = {"X-Request-Id": f"run-{number}"} | ({"Connection": "close"} if options.fresh else {})
        Numbered.unfinished += 1
        try:
            self.get(f"http://{next(Numbered.targets)}/", headers)
        finally:
            Numbered.unfinished -= 1

    def get(self, url: str, headers: dict[str, str]) -> None:
        raise NotImplementedError


class Requests(Numbered, HttpUser):
    """Locust's HttpUser, with the timeout it lacks by default."""

    def get(self, url: str, headers: dict[str, str]) -> None:
        self.client.get(url, name="/", headers=headers, timeout=self.environment.parsed_options.patience)


class Fast(Numbered, FastHttpUser):
    """Locust's FastHttpUser, with the same timeout."""

    def __init__(self, environment: Environment) -> None:
        options: Any = environment.parsed_options
        self.network_timeout = self.connection_timeout = options.patience
        super().__init__(environment)

    def get(self, url: str, headers: dict[str, str]) -> None:
        self.client.get(url, name="/", headers=headers)
