"""What is left of a session: the table on the terminal, `summary.json` and `report.html`, and a baseline."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_swarm import baseline_store
from pytest_swarm.report.github import append_summary, error_commands, step_summary
from pytest_swarm.report.outcome import Outcome, joined, outcome_of
from pytest_swarm.report.repetitions import repetition_table
from pytest_swarm.report.summary import write_summary
from pytest_swarm.report.terminal import boot_line, comparison_lines, failure_lines, run_lines, run_table
from pytest_swarm.session import Session


def conclude(session: Session, reporter: pytest.TerminalReporter) -> None:
    """Print and write the report of a session that had a cluster, or that was to be compared with another."""
    outcome = joined([outcome_of(session), *session.outcomes_of_workers])
    if outcome.is_empty and not (session.comparison or session.options.save):
        return
    reporter.section("swarm")
    if outcome.summary["clusters"]:
        _report_runs(outcome, session.options.report_dir, reporter)
    for line in failure_lines(outcome.summary, outcome.not_archived):
        reporter.write_line(line)
    if session.comparison is not None:
        for line in comparison_lines(session.comparison, session.options.compare or ""):
            reporter.write_line(line, red=line.startswith("REGRESSION"))
    _tell_github(session, outcome, reporter)
    if session.options.save is not None:
        reporter.write_line(_save(session, session.options.save))
    for line in outcome.hints:
        reporter.write_line(line)


def _report_runs(outcome: Outcome, directory: Path | None, reporter: pytest.TerminalReporter) -> None:
    summary = outcome.summary
    for cluster in summary["clusters"]:
        reporter.write_line(boot_line(cluster))
    if summary["runs"]:
        reporter.write_line(run_table(summary))
    if repeated := repetition_table(summary["runs"]):
        reporter.write_line(f"\nrepeated:\n{repeated}\n")
    for run in summary["runs"]:
        for line in run_lines(run):
            reporter.write_line(line)
    if directory is not None:
        reporter.write_line(f"written: {write_summary(directory, summary)}")
        if summary["runs"]:
            # Its libraries take a second to load.
            from pytest_swarm.report.page import write_page

            reporter.write_line(f"written: {write_page(directory, summary, outcome.chapters)}")


def _tell_github(session: Session, outcome: Outcome, reporter: pytest.TerminalReporter) -> None:
    summary_file = os.environ.get("GITHUB_STEP_SUMMARY")
    runs = outcome.summary["runs"]
    if summary_file and (runs or session.comparison is not None):
        append_summary(Path(summary_file), step_summary(runs, session.comparison, session.options.compare or ""))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in error_commands(outcome.annotations):
            reporter.write_line(line)


def _save(session: Session, name: str) -> str:
    figures = session.figures
    if not figures:
        return f"not saved: this session has no valid run to keep as baseline {name}"
    path = baseline_store.save(session.options.storage, name, session.options.engines, figures)
    return f"saved: {path} with {len(figures)} runs; compare with --swarm-compare={name}"
