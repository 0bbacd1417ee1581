"""Managers that are processes, killed and stopped by signals: real stores, journals, API and forwarding, no Docker."""

import contextlib
from pathlib import Path

import pytest

from tests.consistency.history import Outcome, tally
from tests.consistency.live_run import LiveRun
from tests.consistency.process_target import ProcessTarget

pytestmark = [pytest.mark.timeout(240), pytest.mark.soak]


def test_histories_are_linearizable(tmp_path: Path) -> None:
    with contextlib.closing(ProcessTarget(tmp_path)) as target:
        report = LiveRun(target, seed=2, seconds=20.0).run()
    assert report.is_valid, report.explain()
    assert report.faults
    assert tally(report.history)[Outcome.OK] > 100
