"""The markers of the plugin, so that they work under `--strict-markers`, and what they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_swarm.budget import BadBudget, Budget

if TYPE_CHECKING:
    from pytest_swarm.load import Load

LOSS_BUDGET = "loss_budget"
MARKERS = (
    "cluster: the test boots a cluster, so it needs a Docker Engine; deselect with -m 'not cluster'",
    f"{LOSS_BUDGET}(lost=0, duplicates=0, p99='2s', ...): what each load of the test may lose, or it fails; "
    "wins over --swarm-loss-budget for the keys it names",
)
LOAD_KEY: pytest.StashKey[Load] = pytest.StashKey()


def register(config: pytest.Config) -> None:
    """Make the markers known; `pytest --markers` prints these lines."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)


def marked_budget(item: pytest.Item) -> Budget | None:
    """Return what the markers of a test allow, the closest first; None without one. Fails the test for a bad word."""
    budget = None
    for marker in item.iter_markers(LOSS_BUDGET):
        try:
            if marker.args or not marker.kwargs:
                raise BadBudget("expected limits by name, such as lost=0, p99='2s'")
            words = Budget.of(marker.kwargs)
        except BadBudget as error:
            pytest.fail(f"the marker {LOSS_BUDGET} of {item.name}: {error}", pytrace=False)
        budget = words if budget is None else budget.over(words)
    return budget


def require_judgement(item: pytest.Item) -> None:
    """Fail a test with a budget that no load was held against: it would be green without having shown anything."""
    if marked_budget(item) is None:
        return
    loader = item.stash.get(LOAD_KEY, None)
    if loader is None or not any(run.has_ended for run in loader.runs):
        pytest.fail(
            f"the marker {LOSS_BUDGET} of {item.name} has judged nothing: no load of the fixture load ran to its end",
            pytrace=False,
        )
