"""The open load: requests arrive by the clock, however long the earlier ones take.

Run it as `python -m locust --headless -f open_schedule.py --rate 20 --requests 600 --targets n1:8080 --records DIR`.

Request i is due (i - 1) / rate seconds after the start, and its time counts from when it was due: a service that
stalls is not asked less often, and nothing hides how long its callers waited. What cannot be sent in time is
never sent late: it is put down as unsent, and the run is invalid.
"""

from __future__ import annotations

import argparse
from typing import Any, ClassVar

import gevent
from gevent.pool import Group
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser

from workloads.locustfiles.http_client import Moment, SingleShotClient
from workloads.locustfiles.run import Run

# Each holds a connection and a greenlet; a service that answers nothing for its timeout piles up rate * timeout.
MOST_IN_FLIGHT = 2000


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: argparse.ArgumentParser, **_: Any) -> None:
    group = parser.add_argument_group("open load")
    group.add_argument("--rate", type=float, default=10.0, help="requests that are due each second")
    group.add_argument(
        "--late-after", type=float, default=0.5, help="seconds after which a request is not sent any more"
    )


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def start_run(environment: Environment, **_: Any) -> None:
    Timetable.run_state = Run(environment)
    gevent.spawn(Timetable.run_state.watch)


class Timetable(User):
    """Not a user of the service but its clock: lets each request go when it is due, on a greenlet of its own."""

    fixed_count = 1
    run_state: ClassVar[Run]

    def on_start(self) -> None:
        self._idle: list[SingleShotClient] = []
        self._under_way = Group()

    def on_stop(self) -> None:
        for client in self._idle:
            client.close()

    @task
    def keep_the_schedule(self) -> None:
        run = self.run_state
        start = Moment.now()
        while (number := run.budget.take()) is not None:
            due = start.after((number - 1) / run.options.rate)
            # Also when late: the requests that were let go need their turn to run.
            gevent.sleep(max(0.0, due.monotonic - Moment.now().monotonic))
            if run.budget.in_flight > MOST_IN_FLIGHT:
                run.leave_unsent(number, due, f"not sent: {MOST_IN_FLIGHT} requests were in flight")
            else:
                self._under_way.spawn(self._send, number, due)
        self._under_way.join()
        raise StopUser

    def _send(self, number: int, due: Moment) -> None:
        run = self.run_state
        late = Moment.now().monotonic - due.monotonic
        if late > run.options.late_after:
            run.leave_unsent(number, due, f"not sent: its turn came {late:.3f} s late")
            return
        # The client used last: with keep-alive its connection is the one least likely to have idled out.
        client = self._idle.pop() if self._idle else run.new_client()
        run.send(client, number, due)
        self._idle.append(client)
