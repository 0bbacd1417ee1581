"""What the plugin costs a load: its request rate beside that of bare Locust with the same client.

Both send as fast as they can to a fast server on the loopback, in turn, so that a machine that is busier for a while
slows both. The rate is the server's own: from the arrival of the first request to that of the last. The ledger is
balanced when a load is over, so it slows no request; what that takes is told beside the rates.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from tabulate import tabulate

from pytest_swarm.ledger import balance
from pytest_swarm.phases import split_into_phases
from tests.benchmarks.fast_server import FastServer, fast_server
from tests.unit.pytest_swarm.locust_runs import CLOSED, records_in

pytestmark = pytest.mark.benchmark

REQUESTS = 5_000
REPEATS = 9
LEAST_RATIO = 0.8
RUN_SECONDS_MAX = 120.0
BARE = Path(__file__).with_name("bare_locust.py")
THEIRS = Path(__file__).with_name("other_clients.py")
OBSERVED = CLOSED.with_name("observed.py")

Sender = Callable[[str, str, Path], None]
"""Sends all requests: to an address, with a control target's address, and a folder for the records."""


@pytest.mark.parametrize("keep_alive", [False, True], ids=["fresh", "kept-alive"])
def test_our_load_beside_bare_locust(tmp_path: Path, capsys: pytest.CaptureFixture[str], keep_alive: bool) -> None:
    extra = ["--requests", str(REQUESTS), *(["--keep-alive"] if keep_alive else [])]

    def bare(target: str, _control: str, _records: Path) -> None:
        _locust([BARE], ["--target", target, *extra])

    def ours(target: str, control: str, records: Path) -> None:
        arguments = ["--targets", target, "--control", control, "--records", str(records), "--stagger", "0"]
        _locust([CLOSED], [*arguments, *extra])

    _compare(tmp_path, capsys, bare, ours)


@pytest.mark.parametrize("user", ["Requests", "Fast"])
def test_their_locustfile_with_and_without_our_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], user: str
) -> None:
    def arguments(target: str) -> list[str]:
        return [user, "--total", str(REQUESTS), "--targets", target, "--patience", "5"]

    def alone(target: str, _control: str, _records: Path) -> None:
        _locust([THEIRS], arguments(target))

    def observed(target: str, control: str, records: Path) -> None:
        environment = {"SWARM_RECORDS": str(records), "SWARM_RUN_ID": "run", "SWARM_CONTROL": control}
        _locust([THEIRS, OBSERVED], arguments(target), environment)

    _compare(tmp_path, capsys, alone, observed)


def _compare(directory: Path, capsys: pytest.CaptureFixture[str], bare: Sender, ours: Sender) -> None:
    """Run both in turn and compare the best rate of each, the one that the rest of the machine disturbed least."""
    rows = []
    for repeat in range(1, REPEATS + 1):
        records = directory / f"run{repeat}"
        records.mkdir()
        # The first of two may find a machine that still cools down from the last pair: they take turns at it.
        senders = (bare, ours) if repeat % 2 else (ours, bare)
        rates = {sender: _rate(sender, records) for sender in senders}
        seconds = _seconds_to_balance(records)
        rows.append((repeat, rates[bare], rates[ours], rates[ours] / rates[bare], seconds))

    _, bare_rates, our_rates, ratios, _ = zip(*rows, strict=True)
    best = max(our_rates) / max(bare_rates)
    headers = ["repeat", "bare /s", "with records /s", "ratio", "ledger s"]
    with capsys.disabled():
        print(f"\n{REQUESTS} requests\n{tabulate(rows, headers, floatfmt=('', '.0f', '.0f', '.3f', '.2f'))}")  # noqa: T201
        print(f"of the best rates {best:.3f}, median ratio {statistics.median(ratios):.3f}")  # noqa: T201
    assert best >= LEAST_RATIO


def _rate(sender: Sender, records: Path) -> float:
    with fast_server() as server, fast_server() as control:
        sender(_address(server), _address(control), records)
        assert len(server.arrivals) == REQUESTS
        return server.rate


def _address(server: FastServer) -> str:
    return f"127.0.0.1:{server.port}"


def _seconds_to_balance(directory: Path) -> float:
    """How long it takes to read the records and balance the books; nothing may be missing from them."""
    began = time.monotonic()
    ledger = balance(records_in(directory / "requests.jsonl"), [], split_into_phases(0, 1, []), REQUESTS)
    seconds = time.monotonic() - began
    assert ledger.counts["answered"] == REQUESTS
    return seconds


def _locust(files: Sequence[Path], arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--exit-code-on-error", "0"]
    command += ["-f", ",".join(map(str, files)), "-u", "10", "-r", "10", *arguments]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
        cwd=CLOSED.parents[2],
        env={**os.environ, "PYTHONPATH": str(CLOSED.parents[2]), **(environment or {})},
    )
    assert result.returncode == 0, result.stdout + result.stderr
