"""What GitHub Actions shows of a session: a step summary in Markdown, and annotations at the tests that failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.baseline import Comparison

if TYPE_CHECKING:
    from pytest_swarm.load import LoadRun

# GitHub refuses a step's summary from 1 MiB on, and shows at most 10 errors of a step.
SUMMARY_BYTES_MAX = 1024 * 1024 - 1
ANNOTATIONS_MAX = 10
_CUT_OFF = "\n\n... cut off: GitHub shows no more of it.\n"
_STORIES = 10


def step_summary(runs: Sequence[dict[str, Any]], comparison: Comparison | None, baseline: str = "") -> str:
    """Lay out the runs of a `summary.json` and a comparison; the bad ones are unfolded below the table."""
    from tabulate import tabulate

    lines = ["### Requests lost", "", tabulate([_row(run) for run in runs], headers="keys", tablefmt="github"), ""]
    for run in runs:
        if _complaints(run):
            lines += [f"<details open><summary>{_cell(run['scenario'])}</summary>", "", "```", *_complaints(run)]
            lines += [*(loss["story"] for loss in run["losses"][:_STORIES]), "```", "</details>", ""]
    if comparison is not None:
        lines += [f"### Compared with baseline {baseline}", ""]
        if comparison.rows:
            cells = [{name: _cell(text) for name, text in row.cells().items()} for row in comparison.rows]
            lines += [tabulate(cells, headers="keys", tablefmt="github", disable_numparse=True), ""]
        lines += [f"- **{_cell(sentence)}**" for sentence in comparison.regressions]
    return "\n".join(lines) + "\n"


def append_summary(path: Path, text: str) -> None:
    """Append to the step's summary as much as it still takes; what else the step has written there stays."""
    already = path.stat().st_size if path.exists() else 0
    room = SUMMARY_BYTES_MAX - already
    content = text.encode()
    if len(content) > room:
        content = content[: max(0, room - len(_CUT_OFF))].rpartition(b"\n")[0] + _CUT_OFF.encode()
    if len(content) <= room:
        with path.open("ab") as file:
            file.write(content)


def annotations_of(runs: Iterable[LoadRun]) -> list[str]:
    """Return a workflow command for each run that was invalid or broke its budget, at the line of its test."""
    return [_annotation(run) for run in runs if run.has_ended and (run.violations or run.broken)]


def error_commands(annotations: Sequence[str]) -> list[str]:
    """Return as many of the annotations as GitHub shows."""
    lines = list(annotations[:ANNOTATIONS_MAX])
    if len(annotations) > ANNOTATIONS_MAX:
        # The last one has to stand for those that GitHub would drop without a word.
        rest = len(annotations) - ANNOTATIONS_MAX + 1
        lines[-1] = f"::error title=swarm::{rest} more loads were invalid or over budget: see the summary of this step"
    return lines


def _annotation(run: LoadRun) -> str:
    path, line = run.location
    title = "invalid load" if run.violations else "loss budget broken"
    causes = "; ".join(run.violations or map(str, run.broken))
    message = f"{run.scenario} {run.name}: {causes}\n{run.explain()}"
    return f"::error file={_property(path)},line={line},title={_property(title)}::{_data(message)}"


def _row(run: dict[str, Any]) -> dict[str, Any]:
    return {
        "": "✅" if not _complaints(run) else "❌",
        "scenario": _cell(f"{run['scenario']} {run['load']}"),
        "sent": run["sent"],
        "lost": run["lost"],
        "duplicates": run["classes"]["duplicate"],
        "gap s": f"{run['longest_gap_seconds']:.3f}",
        "p99 s": "-" if run["p99_seconds"] is None else f"{run['p99_seconds']:.3f}",
        "update s": f"{run['operations_seconds']:.3f}",
        "proves": _cell(run["verdict"]),
    }


def _complaints(run: dict[str, Any]) -> list[str]:
    broken = [f"over budget: {limit['text']}" for limit in run["budget"] if not limit["kept"]]
    return [f"invalid: {violation}" for violation in run["violations"]] + broken


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
