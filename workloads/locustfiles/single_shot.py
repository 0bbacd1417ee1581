"""The closed load: users that each keep one request in flight, until a fixed number of requests has been sent.

Run it as `python -m locust --headless -f single_shot.py --requests 500 --targets n1:8080 --records DIR -u 10 -r 10`.
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any, ClassVar

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser

from workloads.locustfiles.http_client import ANSWERED
from workloads.locustfiles.run import Run


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: argparse.ArgumentParser, **_: Any) -> None:
    group = parser.add_argument_group("closed load")
    group.add_argument("--first-source-port", type=int, default=None, help="user i binds to this port + i")
    group.add_argument(
        "--failure-pause", type=float, default=0.2, help="seconds a user waits after a request that was not answered"
    )
    group.add_argument("--stagger", type=float, default=1.0, help="seconds over which the users start")


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def start_run(environment: Environment, **_: Any) -> None:
    SingleShotUser.run_state = Run(environment)
    SingleShotUser.numbers = itertools.count()
    gevent.spawn(SingleShotUser.run_state.watch)


class SingleShotUser(User):
    """A user in a closed loop: the next request starts when the last one ended."""

    run_state: ClassVar[Run]
    numbers: ClassVar[itertools.count[int]]

    def on_start(self) -> None:
        options = self.run_state.options
        self.client = self.run_state.new_client()
        # Users in step would leave most instants of an update without a request.
        gevent.sleep(options.stagger * next(self.numbers) / max(1, options.num_users or 1))

    def on_stop(self) -> None:
        self.client.close()

    @task
    def send_one(self) -> None:
        run = self.run_state
        number = run.budget.take()
        if number is None:
            raise StopUser
        outcome = run.send(self.client, number)
        if outcome.request_class != ANSWERED:
            # A refusal costs no time: without a pause one dead second would use up the whole budget.
            gevent.sleep(run.options.failure_pause)
