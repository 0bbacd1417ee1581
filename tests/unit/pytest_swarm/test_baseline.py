"""A session against an earlier one: what may rise, by how much, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_swarm import baseline_store
from pytest_swarm.baseline import Comparison, Figures, Tolerance, compare, parse_tolerances
from pytest_swarm.baseline_store import BadBaseline
from pytest_swarm.budget import BadBudget, figures_of
from pytest_swarm.ledger import balance
from pytest_swarm.phases import Operation, split_into_phases
from pytest_swarm.report.terminal import comparison_lines
from tests.unit.pytest_swarm.books import finished, record

THEN: Figures = {"lost": 2, "refused": 2, "reset": 0, "duplicates": None, "p50": 1.0, "p99": 2.0, "longest_gap": 1.5}


def compared(now: Figures, tolerances: str = "") -> Comparison:
    return compare({"test load1": THEN}, {"test load1": now}, parse_tolerances(tolerances) if tolerances else {})


def test_tolerances_are_amounts_or_percent() -> None:
    assert parse_tolerances("lost:0, p99:10%,longest-gap:500ms,ratio:0.01") == {
        "lost": Tolerance(0),
        "p99": Tolerance(10.0, is_percent=True),
        "longest_gap": Tolerance(0.5),
        "ratio": Tolerance(0.01),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lost", "expected FIGURE:RISE.* such as lost:0,p99:10%, not 'lost'"),
        ("lost=0", "expected FIGURE:RISE"),
        ("lots:0", "nothing is called 'lots'"),
        ("lost:few", "lost is 'few': expected a whole number such as 0"),
        ("p99:-10%", "p99 is '-10%': expected"),
    ],
)
def test_a_bad_tolerance_is_named(text: str, message: str) -> None:
    with pytest.raises(BadBudget, match=message):
        parse_tolerances(text)


@pytest.mark.parametrize(
    ("now", "tolerances", "regressions"),
    [
        ({"lost": 2}, "lost:0", []),
        ({"lost": 3}, "lost:0", ["test load1: lost was 2, is 3"]),
        ({"lost": 3}, "lost:1", []),
        ({"lost": 0}, "lost:0", []),
        ({"p99": 2.2}, "p99:10%", []),
        ({"p99": 2.201}, "p99:10%", ["test load1: p99 was 2 s, is 2.201 s"]),
        ({"p99": 2.6}, "p99:500ms,lost:0", ["test load1: p99 was 2 s, is 2.6 s"]),
        ({"p99": 99.0, "lost": 99}, "refused:0", []),
        # What one of the two could not show is no pass.
        ({"p99": None}, "p99:10%", ["test load1: p99 was 2 s, is -"]),
        ({"duplicates": 0}, "duplicates:0", ["test load1: duplicates was -, is 0"]),
    ],
)
def test_what_rises_by_more_than_it_may_is_a_regression(now: Figures, tolerances: str, regressions: list[str]) -> None:
    assert compared({**THEN, **now}, tolerances).regressions == regressions


def test_without_tolerances_nothing_is_a_regression() -> None:
    assert compared({**THEN, "lost": 99}).regressions == []


def test_a_gate_that_compared_nothing_does_not_pass() -> None:
    nothing = compare({"other load1": THEN}, {"test load1": THEN}, {"lost": Tolerance(0)})

    assert nothing.regressions == ["no run of this session has a counterpart in the baseline: nothing was compared"]
    assert (nothing.only_now, nothing.only_then) == (("test load1",), ("other load1",))


def test_the_table_shows_the_usual_figures_and_the_classes_that_changed() -> None:
    now = {**THEN, "lost": 3, "reset": 1, "p99": 1.5}
    lines = "\n".join(comparison_lines(compared(now, "lost:0,p99:10%"), "main")).splitlines()

    assert lines[0] == "compared with baseline main:"
    rows = [line.split() for line in lines[3:-1]]
    assert ["test", "load1", "lost", "2", "3", "+1", "(+50.0%)", "0", "REGRESSION"] in rows
    assert ["test", "load1", "p99", "2", "s", "1.5", "s", "-0.5", "s", "(-25.0%)", "10", "%"] in rows
    assert ["test", "load1", "reset", "0", "1", "+1"] in rows
    assert [row[2] for row in rows] == ["lost", "duplicates", "longest_gap", "p50", "p99", "update", "reset"]
    assert lines[-1] == "REGRESSION: test load1: lost was 2, is 3"


def test_the_figures_of_a_run() -> None:
    update = Operation("update", 2.0, 8.5)
    ledger = balance([record(1), record(2, "reset")], [finished(1)], split_into_phases(0.0, 9.0, [update]), 2)
    figures = figures_of(ledger)

    assert (figures["lost"], figures["reset"], figures["duplicates"], figures["update"]) == (1, 1, 0, 6.5)
    assert (figures["p50"], figures["slowest"], figures["ratio"]) == (1.0, 1.0, 0.5)


def test_what_is_saved_can_be_loaded(tmp_path: Path) -> None:
    path = baseline_store.save(tmp_path / "new", "main", "orchestrator", {"test load1": THEN})

    assert path == tmp_path / "new" / "main.json"
    assert baseline_store.load(tmp_path / "new", "main") == {"test load1": THEN}


def test_a_baseline_that_is_not_there(tmp_path: Path) -> None:
    baseline_store.save(tmp_path, "main", "orchestrator", {})

    with pytest.raises(BadBaseline, match=r"there is no .*/old.json; saved are: main; save one with --swarm-save=old"):
        baseline_store.load(tmp_path, "old")


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"format": 99, "runs": {}})])
def test_a_file_that_is_no_baseline(tmp_path: Path, content: str) -> None:
    (tmp_path / "main.json").write_text(content)

    with pytest.raises(BadBaseline, match=r"main.json (cannot be read|is no baseline of this version)"):
        baseline_store.load(tmp_path, "main")
