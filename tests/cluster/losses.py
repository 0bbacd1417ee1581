"""What every update under load is held to."""

from __future__ import annotations

from pytest_swarm.load import LoadRun


def assert_nothing_lost(run: LoadRun) -> None:
    """Every request was answered, once, and both versions answered."""
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()
    assert run.versions == {"1", "2"}
