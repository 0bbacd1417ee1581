"""Histories that once broke a promise, and what was wrong. They stay, so that it stays right."""

import pytest

from tests.simulation.histories import History

FOUND = {
    18: "an update that was asked for again forgot the slot it was about, and replaced one slot too many at a time",
    242: "a node came up with balancers that still sent to a task withdrawn while it was away",
    384: "a task made from a spec the user had just replaced was outdated for ever",
    430: "a node that was paused after an attempt on it had failed kept its old task for ever",
    842: "a task on a node that was down for being late was stopped under its connections",
}
"""Seed -> the fault. When the making of histories changes, new seeds are found by undoing each repair."""


@pytest.mark.parametrize("seed", FOUND)
def test_found_seed(seed: int) -> None:
    History(seed).run()
