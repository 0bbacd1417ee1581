"""Runs the plugin's Locust files in a process of their own, as a load container does, against the loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import workloads.locustfiles
from pytest_swarm.ledger import ClientRecord

CLOSED = Path(workloads.locustfiles.__file__).with_name("single_shot.py")
OPEN = CLOSED.with_name("open_schedule.py")


def run_closed(directory: Path, *arguments: str) -> list[ClientRecord]:
    users = ("-u", "4", "-r", "4", "--failure-pause", "0", "--stagger", "0.1")
    return _run(CLOSED, directory, *users, *arguments)


def run_open(directory: Path, *arguments: str) -> list[ClientRecord]:
    return _run(OPEN, directory, "-u", "1", *arguments)


def records_in(path: Path) -> list[ClientRecord]:
    return [ClientRecord.from_json(json.loads(line)) for line in path.read_text().splitlines()]


def _run(locustfile: Path, directory: Path, *arguments: str) -> list[ClientRecord]:
    command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--exit-code-on-error", "0"]
    command += ["-f", str(locustfile), "--records", str(directory), "--read-timeout", "0.5"]
    command += ["--csv", str(directory / "locust"), *arguments]
    subprocess.run(command, check=True, timeout=120, capture_output=True, cwd=locustfile.parents[2])
    return records_in(directory / "requests.jsonl")
