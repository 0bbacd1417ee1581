"""What other clients make of the faults that our ledger finds to the last one, printed side by side."""

from __future__ import annotations

import csv
import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tabulate import tabulate

from tests.unit.pytest_swarm.ruler import CLASSES, PLANTED, READ_TIMEOUT, measure, ruler

pytestmark = pytest.mark.benchmark

REQUESTS = 10_000
OPEN_RATE = 400.0
LOST = sum(CLASSES.values()) - CLASSES["duplicate"]
USERS = 10
CLIENT_SECONDS_MAX = 300.0
OTHER_CLIENTS = Path(__file__).with_name("other_clients.py")


@dataclasses.dataclass(frozen=True)
class Count:
    """What a client counted, and how many requests the server got for it beyond those that were sent."""

    client: str
    connections: str
    planted: int
    failed: int | str
    duplicates: str
    sent_again: int


def test_the_faults_as_each_client_counts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = [_ours(tmp_path, rate, keep_alive) for rate in (None, OPEN_RATE) for keep_alive in (False, True)]
    theirs = [_locust(tmp_path, user, keep_alive) for user in ("Requests", "Fast") for keep_alive in (False, True)]
    if shutil.which("ab"):
        theirs += [_apache_bench("ab", PLANTED), _apache_bench("ab, nothing hangs", PLANTED | {"hang": 0})]

    table = tabulate([dataclasses.asdict(each) for each in (*ours, *theirs)], headers="keys")
    with capsys.disabled():
        print(f"\n{REQUESTS} requests, {LOST} to be lost and {CLASSES['duplicate']} done twice\n{table}")  # noqa: T201
    assert {(each.failed, each.duplicates, each.sent_again) for each in ours} == {(LOST, "4", 0)}


def _ours(directory: Path, rate: float | None, keep_alive: bool) -> Count:
    ledger, sent_once = measure(directory, REQUESTS, rate, keep_alive=keep_alive)
    assert {name: ledger.counts[name] for name in CLASSES} == CLASSES
    name = "ours, closed load" if rate is None else f"ours, open load of {rate:g}/s"
    return Count(name, _word(keep_alive), LOST, ledger.lost, str(ledger.duplicates), 0 if sent_once else -1)


def _locust(directory: Path, user: str, keep_alive: bool) -> Count:
    """Locust's own user classes; the ids tell how often each request reached the server."""
    with ruler(REQUESTS) as measured:
        command = [sys.executable, "-m", "locust", "-f", str(OTHER_CLIENTS), user, "--headless", "--only-summary"]
        command += ["--exit-code-on-error", "0", "-u", str(USERS), "-r", str(USERS), "--csv", str(directory / user)]
        command += ["--total", str(REQUESTS), "--targets", measured.targets, "--patience", str(READ_TIMEOUT)]
        _run([*command, *([] if keep_alive else ["--fresh"])])
    with (directory / f"{user}_stats.csv").open() as file:
        aggregated = list(csv.DictReader(file))[-1]
    assert int(aggregated["Request Count"]) == REQUESTS
    name = {"Requests": "Locust HttpUser", "Fast": "Locust FastHttpUser"}[user]
    again = measured.server.seen.total() - len(measured.server.seen)
    return Count(name, _word(keep_alive), LOST, int(aggregated["Failure Count"]), "-", again)


def _apache_bench(name: str, faults: Mapping[str, int]) -> Count:
    """`ab` has one target and no ids, so nothing is refused and the server numbers the requests as they arrive.

    Its timeout ends the whole run, without figures, once nothing has happened for so long: it is long enough for the
    late answer.
    """
    with ruler(REQUESTS, faults) as measured:
        address = f"http://127.0.0.1:{measured.server.port}/"
        result = _call(["ab", "-q", "-r", "-n", str(REQUESTS), "-c", str(USERS), "-s", "20", address])
        arrived = measured.server.seen.total()
    failed = re.search(r"Failed requests:\s+(\d+)", result.stdout)
    lost = sum(faults[action] for action in ("reset", "short-body", "hang"))
    words = failed[1] if failed else result.stderr.strip().splitlines()[-1]
    return Count(name, "fresh", lost, words, "-", arrived - REQUESTS)


def _run(command: Sequence[str]) -> None:
    result = _call(command)
    assert result.returncode == 0, result.stdout + result.stderr


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, check=False)


def _word(keep_alive: bool) -> str:
    return "kept alive" if keep_alive else "fresh"
