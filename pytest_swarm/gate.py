"""What a session as a whole is judged by: the baseline it is compared with.

The figures come from the tests' reports and not from the loads themselves: with pytest-xdist the loads run in
workers, and only reports reach the process that judges.
"""

from __future__ import annotations

import pytest

from pytest_swarm import baseline_store
from pytest_swarm.baseline import compare
from pytest_swarm.report.junit import figures_in
from pytest_swarm.session import Session


class FigureCollector:
    """A plugin of its own, because this hook is not told whose report it is."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the figures of the loads of a test that has been taken down."""
        if report.when == "teardown":
            test = report.nodeid.rpartition("/")[2]
            for run, figures in figures_in(report.user_properties).items():
                self._session.figures[f"{test} {run}"] = figures


def judges(config: pytest.Config) -> bool:
    """Whether this process judges the session: not a worker of pytest-xdist, and not one that only collects."""
    return not hasattr(config, "workerinput") and not config.getoption("collectonly")


def load_baseline(session: Session) -> None:
    """Read the baseline to compare with before anything runs. Raises pytest.UsageError when there is none."""
    options = session.options
    if options.compare is None:
        return
    try:
        session.baseline = baseline_store.load(options.storage, options.compare)
    except baseline_store.BadBaseline as error:
        raise pytest.UsageError(f"--swarm-compare is {options.compare!r}: {error}") from None


def has_regressed(session: Session) -> bool:
    """Compare with the baseline, if there is one; whether a figure got worse by more than it may."""
    if session.baseline is None:
        return False
    session.comparison = compare(session.baseline, session.figures, session.options.compare_fail)
    return bool(session.comparison.regressions)
