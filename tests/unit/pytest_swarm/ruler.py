"""What a scripted server does to a known few of many requests: the measure that a load's ledger is held against."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_swarm.ledger import Ledger, ServerEvent, balance
from pytest_swarm.phases import split_into_phases
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.unit.pytest_swarm.locust_runs import run_closed, run_open
from tests.unit.pytest_swarm.scripted_server import ScriptedServer, refusing_port, scripted_server

PLANTED = {"reset": 7, "short-body": 3, "hang": 2, "twice": 4, "late": 1}
REFUSED = 5
READ_TIMEOUT = 5.0
LATE_SECONDS = 8.0

# The ledger's own names of the above.
CLASSES = {"refused": 5, "reset": 7, "truncated": 3, "timed-out": 3, "duplicate": 4}
KINDS_ON_FRESH_CONNECTIONS = {
    "refused-no-listener": 5,
    "reset-fresh": 7,
    "timed-out-answered-late": 1,
    "timed-out-unanswered": 2,
    "truncated-body": 3,
}


@dataclasses.dataclass(frozen=True)
class Ruler:
    """A server to send `requests` requests to, by their numbers, and to its `targets` in turn."""

    server: ScriptedServer
    targets: str
    requests: int
    planted: dict[int, str]

    def log(self) -> list[ServerEvent]:
        """What the server says, once it has also finished the answer that nobody waited for."""
        late = [number for number, action in self.planted.items() if action == "late"]

        def finished() -> Done[list[ServerEvent]] | NotYet:
            log = list(self.server.log)
            done = {int(event.request_id.rpartition("-")[2]) for event in log if event.event == "finished"}
            return Done(log) if done.issuperset(late) else NotYet("the late answer is not finished")

        return wait_until(finished, what="the server's log", timeout=2 * LATE_SECONDS)


@contextlib.contextmanager
def ruler(requests: int, faults: Mapping[str, int] = PLANTED) -> Iterator[Ruler]:
    """Spread the faults evenly; every fifth of the run ends with a request to a port that refuses it."""
    stretch = requests // REFUSED
    actions = [action for action, count in faults.items() for _ in range(count)]
    # Between the refusals, which fall on multiples of a stretch.
    step = (requests - stretch) // len(actions)
    planted = {17 + step * index: action for index, action in enumerate(actions)}
    assert not any(number % stretch == 0 for number in planted), "a fault falls on a refusal"

    still_planted = dict(planted)

    def script(identity: str) -> str:
        # A request that is sent again would meet another task, and that one is in order.
        return still_planted.pop(int(identity.rpartition("-")[2]), "ok")

    with refusing_port() as refusing, scripted_server(script, LATE_SECONDS) as server:
        listening = f"127.0.0.1:{server.port}"
        targets = ",".join([listening] * (stretch - 1) + [f"127.0.0.1:{refusing}"])
        yield Ruler(server, targets, requests, planted)


def measure(directory: Path, requests: int, rate: float | None, *, keep_alive: bool) -> tuple[Ledger, bool]:
    """Send an open load, or without a rate a closed one of ten users; return its books, and if all went out once."""
    with ruler(requests) as measured:
        arguments = ["--requests", str(requests), "--read-timeout", str(READ_TIMEOUT), "--targets", measured.targets]
        arguments += ["--keep-alive"] if keep_alive else []
        if rate is None:
            records = run_closed(directory, *arguments, "-u", "10", "-r", "10")
        else:
            records = run_open(directory, *arguments, "--rate", str(rate), "--late-after", "60")
        log = measured.log()
    ledger = balance(records, log, split_into_phases(0, 1, []), requests)
    return ledger, set(measured.server.seen.values()) == {1}
