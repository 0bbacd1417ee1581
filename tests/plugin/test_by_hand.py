"""The tests that no gate runs, the benchmarks and the soaks, still find what they ask for when somebody runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BY_HAND = ("tests/benchmarks", "tests/cluster", "tests/seed", "tests/recorded")


def test_every_test_on_a_cluster_finds_its_fixtures() -> None:
    """pytest plans the set-up of each and runs nothing."""
    options = ("--setup-plan", "-q", "--swarm-nodes=4", "-m", "soak or benchmark or not soak")
    planned = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *BY_HAND],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert planned.returncode == 0, planned.stdout[-3000:] + planned.stderr[-3000:]
    for folder in BY_HAND:
        assert f"{folder}/" in planned.stdout
