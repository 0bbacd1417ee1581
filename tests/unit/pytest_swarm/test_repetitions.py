"""The table of a repeated test: its runs added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_swarm.report.repetitions import repetition_table, scenario_of


def run(scenario: str, *, lost: int = 0, seconds: float = 4.0, p99: float | None = 1.0) -> dict[str, Any]:
    return {
        "engine": "orchestrator",
        "scenario": scenario,
        "load": "load1",
        "sent": 500,
        "lost": lost,
        "classes": {"duplicate": 0},
        "longest_gap_seconds": 0.2,
        "p99_seconds": p99,
        "operations_seconds": seconds,
        "valid": True,
    }


def cells(runs: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [line.split() for line in repetition_table(runs).splitlines()[2:]]


@pytest.mark.parametrize(
    ("test", "scenario"),
    [
        ("test_a.py::test_update[run3]", "test_update"),
        ("test_a.py::test_update[run12-start-first]", "test_update[start-first]"),
        ("test_a.py::test_update[start-first-run2]", "test_update[start-first]"),
        ("test_a.py::test_update[docker-run2-start-first]", "test_update[docker-start-first]"),
        ("test_a.py::test_rerun1[overrun7]", "test_rerun1[overrun7]"),
    ],
)
def test_a_scenario_is_the_test_without_its_repetition(test: str, scenario: str) -> None:
    assert scenario_of(test) == scenario


def test_runs_of_a_scenario_are_added_up() -> None:
    runs = [run("t.py::test_update[run1]"), run("t.py::test_update[run2]", seconds=6.0, p99=None)]

    assert cells(runs) == [
        ["orchestrator", "test_update", "2", "1000", "0", "0", "3/1000", "0", "0.200", "1.000", "5.000", "0"]
    ]


def test_a_scenario_with_losses_proves_no_rate_and_shows_its_worst_run() -> None:
    (row,) = cells([run("t.py::test_update[run1]", lost=2), run("t.py::test_update[run2]", lost=3)])

    assert row[3:7] == ["1000", "5", "3", "-"]


def test_what_ran_once_has_no_row() -> None:
    assert repetition_table([run("t.py::test_update"), run("t.py::test_scale")]) == ""
