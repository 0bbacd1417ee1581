"""What the runs of a repeated test say together: a row per scenario, from `--swarm-repeat`. Pure."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_swarm.ledger import rate_bound

# The plugin's own part of a test's id, wherever pytest has put it among the parameters.
_REPETITION = re.compile(r"(?<=[\[-])run\d+(-|(?=\]))")

Run = Mapping[str, Any]


def repetition_table(runs: Iterable[Run]) -> str:
    """Lay out the runs of a summary that were made more than once; empty when none was. Times are seconds."""
    from tabulate import tabulate

    groups: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run["engine"], scenario_of(run["scenario"]), run["load"]].append(run)
    rows = [_row(scenario, group) for (_, scenario, _), group in groups.items() if len(group) > 1]
    return tabulate(rows, headers="keys", floatfmt=".3f", missingval="-") if rows else ""


def scenario_of(test: str) -> str:
    """Name the test without the number of its repetition."""
    name = _REPETITION.sub("", test.rpartition("::")[2])
    return name.replace("[]", "").replace("-]", "]")


def _row(scenario: str, runs: Sequence[Run]) -> dict[str, Any]:
    sent, lost = (sum(run[key] for run in runs) for key in ("sent", "lost"))
    return {
        "engine": runs[0]["engine"],
        "scenario": scenario,
        "runs": len(runs),
        "sent": sent,
        "lost": lost,
        "most in a run": max(run["lost"] for run in runs),
        "true rate below": rate_bound(sent) if sent and not lost else None,
        "duplicate": sum(run["classes"]["duplicate"] for run in runs),
        "longest gap s": max(run["longest_gap_seconds"] for run in runs),
        "p99 s, worst": max((run["p99_seconds"] for run in runs if run["p99_seconds"] is not None), default=None),
        "update s, median": statistics.median(run["operations_seconds"] for run in runs),
        "invalid": sum(not run["valid"] for run in runs),
    }
