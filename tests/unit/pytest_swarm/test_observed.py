"""Somebody else's Locust file runs unchanged, and its requests are on record as far as its client tells of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pytest_swarm.ledger import Ledger, balance
from pytest_swarm.load_settings import foreign_command, settle
from pytest_swarm.phases import split_into_phases
from tests.unit.pytest_swarm.locust_runs import CLOSED, records_in
from tests.unit.pytest_swarm.scripted_server import ScriptedServer, scripted_server

THEIRS = """
import itertools

from locust import FastHttpUser, HttpUser, constant, events, task

numbers = itertools.count()


@events.init_command_line_parser.add_listener
def arguments(parser):
    parser.add_argument("--path", default="/")


class Visitor({base}):
    wait_time = constant(0.05)
    {timeouts}

    @task
    def visit(self):
        headers = {{"X-Request-Id": f"theirs-{{next(numbers)}}", "Connection": "close"}}
        with self.client.get("/", headers=headers, catch_response=True{patience}) as response:
            if response.status_code == 302:
                response.failure("not what was asked for")
"""
ACTIONS = ("ok", "error", "redirect", "short-body", "close", "reset", "hang", "ok", "ok")
USERS = 3


def run(
    directory: Path, base: str, server: ScriptedServer, *, client_timeout: float = 0.5, read_timeout: float = 5.0
) -> tuple[Ledger, dict[str, object]]:
    file = directory / "locustfile.py"
    fast = base == "FastHttpUser"
    file.write_text(
        THEIRS.format(
            base=base,
            timeouts=f"network_timeout = connection_timeout = {client_timeout}" if fast else "",
            patience=", allow_redirects=False" + ("" if fast else f", timeout={client_timeout}"),
        )
    )
    settings = settle({"locustfile": file, "users": USERS, "duration": 3, "read_timeout": read_timeout})
    target = f"127.0.0.1:{server.port}"
    command = foreign_command(settings, target, str(file), str(CLOSED.parents[2]), str(directory))
    environment = {"SWARM_RECORDS": str(directory), "SWARM_RUN_ID": "load1", "SWARM_CONTROL": target}
    root = {"PYTHONPATH": str(CLOSED.parents[2])}
    subprocess.run(
        [sys.executable, "-m", "locust", *command],
        check=True,
        timeout=60,
        capture_output=True,
        cwd=directory,
        env={**os.environ, **environment, **root},
    )
    account = json.loads((directory / "end.json").read_text())
    records = records_in(directory / "requests.jsonl")
    return balance(records, server.log, split_into_phases(0, 1, []), account["requested"]), account


@pytest.mark.parametrize("base", ["HttpUser", "FastHttpUser"])
def test_their_requests_are_on_record(tmp_path: Path, base: str) -> None:
    def script(identity: str) -> str:
        return "ok" if identity.startswith("control") else ACTIONS[int(identity.rpartition("-")[2]) % len(ACTIONS)]

    with scripted_server(script) as server:
        ledger, account = run(tmp_path, base, server)

    sent = {identity for identity in server.seen if identity.startswith("theirs")}
    expected = Counter(script(identity) for identity in sent)
    assert account["clients"] == [base]
    assert ledger.requested == len(sent) >= len(ACTIONS)
    assert ledger.versions == {"7"}
    assert ledger.counts["timed-out"] == expected["hang"]
    assert ledger.counts["reset"] + ledger.counts["closed-early"] == expected["reset"] + expected["close"]
    assert ledger.counts["truncated"] == expected["short-body"]
    # The redirect is theirs to judge.
    assert ledger.counts["http-error"] == expected["error"] + expected["redirect"]
    assert ledger.counts["answered"] == expected["ok"]
    assert {record.request_class for record in records_in(tmp_path / "control.jsonl")} == {"answered"}
    assert "on a connection its client does not tell of" in ledger.losses[0].story()


@pytest.mark.parametrize("base", ["HttpUser", "FastHttpUser"])
def test_requests_that_hang_to_the_end_are_told_of(tmp_path: Path, base: str) -> None:
    """Their clients have more patience than Locust has with its users: it kills them, and no event tells of it."""

    def script(identity: str) -> str:
        return "ok" if identity.startswith("control") else "hang"

    with scripted_server(script) as server:
        ledger, account = run(tmp_path, base, server, client_timeout=60.0, read_timeout=1.0)

    assert account["in_flight"] == USERS
    assert ledger.requested == 0
