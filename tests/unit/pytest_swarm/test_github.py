"""What GitHub shows: a summary below its limit, and at most ten annotations that it can parse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_swarm.baseline import compare, parse_tolerances
from pytest_swarm.budget import Budget
from pytest_swarm.guards import Control
from pytest_swarm.ledger import balance
from pytest_swarm.load import LoadRun
from pytest_swarm.phases import split_into_phases
from pytest_swarm.report.github import SUMMARY_BYTES_MAX, annotations_of, append_summary, error_commands, step_summary
from pytest_swarm.report.summary import summarize_run
from pytest_swarm.service_spec import update_policy
from tests.unit.pytest_swarm.books import record
from tests.unit.pytest_swarm.rollouts import cluster_of


def run(fate: str = "answered", *, violations: Sequence[str] = (), scenario: str = "test_it[a|b]") -> LoadRun:
    ledger = balance([record(1, fate)], [], split_into_phases(0.0, 1.0, []), 1)
    verdicts = Budget.parse("lost=0").judge(ledger)
    service = SimpleNamespace(deployment=SimpleNamespace(image="shop:1", replicas=3))
    fake = SimpleNamespace(
        scenario=scenario,
        name="load1",
        cluster=cluster_of("orchestrator"),
        location=("tests/test_it.py", 7),
        has_ended=True,
        ledger=ledger,
        verdicts=verdicts,
        broken=[verdict for verdict in verdicts if not verdict.is_kept],
        violations=list(violations),
        unproven=[],
        control=Control(1, 0, 0.01),
        service=service,
        policy=update_policy({}),
        settings=SimpleNamespace(users=1, rate=None),
        operations=[],
        update_seconds=0.0,
        explain=lambda: "100 % of it\nthe story",
    )
    return cast(LoadRun, cast(Any, fake))


def summarized(*runs: LoadRun) -> list[dict[str, Any]]:
    return [summarize_run(each) for each in runs]


def test_a_good_run_is_a_row() -> None:
    text = step_summary(summarized(run()), None)
    header, _, row = text.splitlines()[2:5]

    assert [cell.strip() for cell in header.split("|")][1:5] == ["", "scenario", "sent", "lost"]
    assert "✅" in row
    assert "test_it[a\\|b] load1" in row
    assert "0 of 1 lost: the true rate is below 3/1 at 95 %" in row
    assert "<details" not in text


def test_a_bad_run_is_unfolded_with_its_losses() -> None:
    text = step_summary(summarized(run("reset", violations=["too thin"])), None)

    assert "❌" in text
    assert "invalid: too thin\nover budget: lost: allowed 0, seen 1\nrun-000001: reset-fresh after 1.000 s" in text


def test_a_comparison_is_a_table_of_its_own() -> None:
    comparison = compare({"a|b": {"lost": 0}}, {"a|b": {"lost": 1}}, parse_tolerances("lost:0"))
    text = step_summary(summarized(run()), comparison, "main")

    assert "### Compared with baseline main" in text
    assert "- **a\\|b: lost was 0, is 1**" in text


@pytest.mark.parametrize("already", [0, 5000, SUMMARY_BYTES_MAX - 10, SUMMARY_BYTES_MAX])
def test_the_summary_stays_below_its_limit(tmp_path: Path, already: int) -> None:
    path = tmp_path / "summary.md"
    path.write_bytes(b"x" * already)

    append_summary(path, "é" * 100 + "\n" + "a line of it\n" * 100_000)

    content = path.read_bytes()
    assert already <= len(content) <= SUMMARY_BYTES_MAX
    if already < SUMMARY_BYTES_MAX - 1000:
        assert content.endswith(b"a line of it\n\n... cut off: GitHub shows no more of it.\n")
        content.decode()


def test_a_short_summary_is_written_whole(tmp_path: Path) -> None:
    append_summary(tmp_path / "summary.md", "one\n")
    append_summary(tmp_path / "summary.md", "two\n")

    assert (tmp_path / "summary.md").read_text() == "one\ntwo\n"


def test_a_broken_budget_is_annotated_at_its_test() -> None:
    assert error_commands(annotations_of([run(), run("reset")])) == [
        "::error file=tests/test_it.py,line=7,title=loss budget broken::"
        "test_it[a|b] load1: lost: allowed 0, seen 1%0A100 %25 of it%0Athe story"
    ]
    assert error_commands(annotations_of([run("reset", violations=["too thin"])]))[0].startswith(
        "::error file=tests/test_it.py,line=7,title=invalid load::test_it[a|b] load1: too thin%0A"
    )


def test_ten_annotations_are_the_most() -> None:
    lines = error_commands(annotations_of([run("reset") for _ in range(25)]))

    assert len(lines) == 10
    assert lines[-1].endswith("::16 more loads were invalid or over budget: see the summary of this step")
    assert len(error_commands(annotations_of([run("reset") for _ in range(10)]))) == 10
    assert "more loads" not in error_commands(annotations_of([run("reset") for _ in range(10)]))[-1]
