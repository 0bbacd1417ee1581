"""Figures that went into a report's properties come out of them, and nobody else's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from pytest_swarm.budget import Budget, figures_of
from pytest_swarm.ledger import balance
from pytest_swarm.load import LoadRun
from pytest_swarm.phases import split_into_phases
from pytest_swarm.report.junit import figures_in, properties_of
from tests.unit.pytest_swarm.books import record

LEDGER = balance([record(1), record(2, "reset")], [], split_into_phases(0.0, 2.0, []), 2)


def run(name: str, *, violations: tuple[str, ...] = (), budget: str = "lost=1", has_ended: bool = True) -> LoadRun:
    verdicts = Budget.parse(budget).judge(LEDGER)
    broken = [verdict for verdict in verdicts if not verdict.is_kept]
    fake = SimpleNamespace(
        name=name, has_ended=has_ended, violations=violations, verdicts=verdicts, broken=broken, ledger=LEDGER
    )
    return cast(LoadRun, cast(Any, fake))


def test_the_properties_of_a_run() -> None:
    properties = dict(properties_of([run("load1"), run("load2", budget="lost=0"), run("load3", has_ended=False)]))

    assert properties["swarm.load1.sent"] == 2
    assert properties["swarm.load1.reset"] == 1
    assert properties["swarm.load1.budget"] == "kept"
    assert properties["swarm.load2.budget"] == "broken"
    assert properties["swarm.load2.verdict"] == "1 of 2 lost"
    # What cannot be told is left out.
    assert "swarm.load1.duplicates" not in properties
    assert not any(name.startswith("swarm.load3") for name in properties)


def test_figures_come_back_from_the_properties_of_valid_runs() -> None:
    strange = [("swarm", 1), ("swarm.x", 2), ("other.load1.lost", 3)]
    figures = figures_in([*strange, *properties_of([run("load1"), run("load2", violations=("too thin",))])])

    known = {key: value for key, value in figures_of(LEDGER).items() if value is not None}
    assert figures == {"load1": known}
