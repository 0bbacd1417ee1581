"""What one process has to report: made of plain data, so that it can come from a worker of pytest-xdist."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_swarm.report.github import annotations_of
from pytest_swarm.report.summary import SCHEMA_VERSION, summarize
from pytest_swarm.report.terminal import entry_hints
from pytest_swarm.session import Session


@dataclasses.dataclass(frozen=True)
class Outcome:
    """`summary` is that of `summary.json`; `chapters` are its runs' figures, drawn only when there is to be a page.

    `annotations` are GitHub's, all of them; `not_archived` and `hints` are lines for the terminal.
    """

    summary: dict[str, Any]
    chapters: list[dict[str, Any]]
    annotations: list[str]
    not_archived: list[str]
    hints: list[str]

    @property
    def is_empty(self) -> bool:
        """Whether there was neither a cluster, nor a load, nor a failure to tell of."""
        summary = self.summary
        return not (summary["clusters"] or summary["runs"] or summary["failures"] or self.not_archived)


def outcome_of(session: Session) -> Outcome:
    """What this process has to report of its own clusters and loads."""
    ended = [run for run in session.runs if run.has_ended]
    chapters = []
    if session.options.report_dir is not None and ended:
        # Drawing needs libraries that take a second to load.
        from pytest_swarm.report.page import draw

        chapters = [draw(run) for run in ended]
    return Outcome(
        summarize(session),
        chapters,
        annotations_of(session.runs),
        list(session.failures_not_archived),
        [line for cluster in session.kept_clusters for line in entry_hints(cluster)],
    )


def to_message(outcome: Outcome) -> dict[str, Any]:
    """As a worker sends it."""
    return dataclasses.asdict(outcome)


def from_message(message: dict[str, Any]) -> Outcome:
    """As the process that reports gets it."""
    return Outcome(**message)


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcomes of all processes as one, in their order."""

    def each(name: str) -> list[Any]:
        return _flat(outcome.summary[name] for outcome in outcomes)

    summary = {
        "schema_version": SCHEMA_VERSION,
        "created": time.time(),
        "clusters": each("clusters"),
        "runs": each("runs"),
        "failures": each("failures"),
    }
    return Outcome(
        summary,
        _flat(outcome.chapters for outcome in outcomes),
        _flat(outcome.annotations for outcome in outcomes),
        _flat(outcome.not_archived for outcome in outcomes),
        _flat(outcome.hints for outcome in outcomes),
    )


def _flat(lists: Iterable[list[Any]]) -> list[Any]:
    return [item for each in lists for item in each]
