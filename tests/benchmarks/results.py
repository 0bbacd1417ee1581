"""Makes of a run's rows what people read: RESULTS.md, a page with a heat map, and results.json by a schema.

python -m tests.benchmarks.results bench-report [--write tests/benchmarks/RESULTS.md]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from tests.benchmarks.book import FILE_NAME

SCHEMA_FILE = Path(__file__).with_name("results.schema.json")
ENGINES = ("orchestrator", "docker")
Row = Mapping[str, Any]


def read_rows(directory: Path) -> list[dict[str, Any]]:
    """The rows of the runs that wrote there. Raises OSError, ValueError."""
    return [json.loads(line) for line in (directory / FILE_NAME).read_text(encoding="utf-8").splitlines()]


def collected(rows: Sequence[Row], command: str, now: float) -> dict[str, Any]:
    """The whole as `results.json`: what was measured, where, when (seconds since the epoch) and by which command."""
    # A kernel's release names whoever built it too: what is compared is its version.
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    machine = {"system": system, "processors": os.cpu_count() or 0, "python": platform.python_version()}
    return {"schema_version": 1, "created": now, "command": command, "machine": machine, "rows": list(rows)}


def matrix_table(rows: Sequence[Row]) -> list[dict[str, str]]:
    """A line for each scenario: for each engine the requests lost of those sent, and what else there is to say."""
    by_scenario: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    issues: dict[str, str] = {}
    for row in rows:
        if row["table"] == "matrix":
            by_scenario[row["scenario"]][row["engine"]].append(row)
            issues[row["scenario"]] = row["issue"]
    lines = []
    for scenario, by_engine in by_scenario.items():
        line = {"scenario": scenario, "moby": f"#{issues[scenario]}" if issues[scenario] else ""}
        for engine in ENGINES:
            line |= _cells(engine, by_engine.get(engine, []))
        lines.append(line)
    return lines


def _cells(engine: str, runs: Sequence[Row]) -> dict[str, str]:
    measured = [run for run in runs if "sent" in run]
    keys = [f"{engine}: {name}" for name in ("lost", "how", "gap s", "p99 s", "change s")]
    if not measured:
        return dict(zip(keys, ["cannot" if runs else "not run", "", "", "", ""], strict=True))
    classes: dict[str, int] = defaultdict(int)
    for run in measured:
        for name, count in run["classes"].items():
            classes[name] += count
    invalid = "" if all(run["valid"] for run in measured) else " (invalid)"
    lost = spread([run["lost"] for run in measured], "{:g}") + f" of {measured[0]['sent']}{invalid}"
    how = ", ".join(f"{count} {name}" for name, count in classes.items() if count)
    figures = [spread([run[key] for run in measured if run[key] is not None], "{:.2f}") for key in _FIGURES]
    return dict(zip(keys, [lost, how, *figures], strict=True))


_FIGURES = ("gap", "p99", "change")


def fault_table(rows: Sequence[Row]) -> list[dict[str, str]]:
    """A line for each fault and engine: seconds from the fault on, and the requests lost of those that a run sent."""
    by_fault: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["table"] == "faults":
            by_fault[row["fault"], row["engine"]].append(row)
    lines = []
    for (fault, engine), runs in by_fault.items():
        moments = {head: [run[key] for run in runs if run[key] is not None] for head, key in _MOMENTS.items()}
        lost = [run["lost"] for run in runs]
        lines.append(
            {
                "fault": fault,
                "engine": engine,
                "runs": str(len(runs)),
                **{head: spread(seconds, "{:.2f}") for head, seconds in moments.items()},
                "lost": f"{spread(lost, '{:g}')} of {runs[0]['sent']}",
                "lost in all": f"{sum(lost)} of {sum(run['sent'] for run in runs)}",
                "invalid": str(sum(not run["valid"] for run in runs)),
            }
        )
    return lines


_MOMENTS = {"noticed s": "noticed", "left out s": "left_out", "made good s": "made_good", "longest gap s": "gap"}


def names_table(rows: Sequence[Row]) -> list[dict[str, str]]:
    """A line for each change and engine: what the watchers of all nodes were told in a run."""
    by_change: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["table"] == "names":
            by_change[row["change"], row["engine"]].append(row)
    return [
        {
            "change": change,
            "engine": engine,
            "runs": str(len(runs)),
            **{
                head: spread([run[key] for run in runs if run[key] is not None], form)
                for head, (key, form) in _NAMES.items()
            },
            "unsettled": str(sum(run["settled"] is None for run in runs)),
        }
        for (change, engine), runs in by_change.items()
    ]


_NAMES = {
    "answers": ("samples", "{:g}"),
    "TTL s": ("ttl", "{:g}"),
    "stale": ("stale_answers", "{:g}"),
    "stale s": ("stale_seconds", "{:.2f}"),
    "wrong": ("wrong_answers", "{:g}"),
    "incomplete": ("incomplete_answers", "{:g}"),
    "longest gap s": ("longest_gap", "{:.2f}"),
    "warning s": ("shortest_warning", "{:.2f}"),
    "settled s": ("settled", "{:.2f}"),
}


def table_of(lines: Sequence[Mapping[str, str]]) -> str:
    """The lines as a Markdown table."""
    return tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True)


def spread(values: Sequence[float], form: str) -> str:
    """One value as it is, several as "min/median/max"."""
    if not values:
        return "-"
    if len(set(values)) == 1:
        return form.format(values[0])
    return "/".join(form.format(value) for value in (min(values), statistics.median(values), max(values)))


def reasons(rows: Sequence[Row]) -> list[str]:
    """Why an engine could not run a scenario, and what invalid runs lacked."""
    lines = []
    for row in rows:
        if row["table"] == "matrix" and (row.get("unable") or row.get("note")):
            # What follows the first line is every lost request's story.
            reason = (row.get("unable") or row["note"]).splitlines()[0]
            lines.append(f"{row['engine']}, {row['scenario']}: {reason.removeprefix(row['engine'] + ': ')}")
    return list(dict.fromkeys(lines))


def cost_table(rows: Sequence[Row]) -> list[dict[str, str]]:
    """A line for each measure: each engine's min/median/max, and the ratio of the medians, ours to Docker's."""
    by_measure: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["table"] == "costs":
            by_measure[row["measure"], row["unit"]][row["engine"]].extend(row["values"])
    lines = []
    for (measure, unit), by_engine in by_measure.items():
        ours, theirs = by_engine.get("orchestrator", []), by_engine.get("docker", [])
        ratio = "-"
        if ours and theirs and statistics.median(theirs):
            ratio = f"{statistics.median(ours) / statistics.median(theirs):.2f}"
        cells = {engine: spread(by_engine.get(engine, []), "{:.2f}") for engine in ENGINES}
        lines.append({"measure": measure, "unit": unit, **cells, "ratio": ratio})
    return lines


def markdown(results: Mapping[str, Any]) -> str:
    """RESULTS.md."""
    rows, machine = results["rows"], results["machine"]
    day = time.strftime("%Y-%m-%d", time.gmtime(results["created"]))
    text = [
        "# What an update loses, and what it costs",
        "",
        f"Measured on {day}: {machine['system']}, {machine['processors']} processors, Python {machine['python']};",
        f"the command: `{results['command']}`. Both engines ran in the same nodes, one after the other. Several runs",
        "of a cell are given as min/median/max. `lost` are requests that got no answer or a wrong one, `gap` is the",
        "longest time without any answer. Where Docker's swarm mode has no IPVS in the kernel its ports are in host",
        "mode, and its tasks are asked where the managers say that they run, looked up five times a second, but for",
        "those on a node that is killed (FAULTS.md has these); what that makes impossible is listed below. No losing",
        "row is left out.",
        "",
        "## The correctness matrix",
        "",
        table_of(matrix_table(rows)),
        "",
        *(f"- {line}" for line in reasons(rows)),
        "",
        *_section("When things break", _FAULTS_EXPLAINED, fault_table(rows)),
        *_section("What tasks are told", _NAMES_EXPLAINED, names_table(rows)),
        "## The cost",
        "",
        "`ratio` is ours to Docker's, by the medians: of seconds and memory less is better, of rates more.",
        "",
        table_of(cost_table(rows)),
    ]
    return "\n".join(text) + "\n"


def _section(title: str, explained: str, lines: Sequence[Mapping[str, str]]) -> list[str]:
    """A heading, what its figures mean, and their table; nothing at all when the run measured none."""
    if not lines:
        return []
    return [f"## {title}", "", explained, "", table_of(lines), ""]


_FAULTS_EXPLAINED = """\
`noticed` is when the managers hold the node for down, or have a new leader; `left out` when no other node's
mesh leads to it any more; `made good` when all replicas run on what is left."""

_NAMES_EXPLAINED = """\
A task on every node asks for the service's tasks twenty times a second. `stale` are answers that, within
their TTL, named a container that had ended; `warning` is the least time from the last answer that named a
container to its end; `settled` is from the change's beginning until every node is told of all that runs and of
nothing else, and the runs in which some were not are `unsettled`."""


def heat_map(rows: Sequence[Row]) -> str:
    """One self-contained page: scenarios by engines, coloured by the share of requests lost."""
    from bokeh.embed import file_html
    from bokeh.models import ColumnDataSource, HoverTool
    from bokeh.plotting import figure
    from bokeh.resources import INLINE
    from bokeh.transform import linear_cmap

    cells = [row for row in rows if row["table"] == "matrix" and "sent" in row]
    scenarios = list(dict.fromkeys(row["scenario"] for row in cells))[::-1]
    worst: dict[tuple[str, str], Row] = {}
    for row in cells:
        key = (row["engine"], row["scenario"])
        if key not in worst or row["lost"] > worst[key]["lost"]:
            worst[key] = row
    share = [100 * row["lost"] / max(row["sent"], 1) for row in worst.values()]
    source = ColumnDataSource(
        {
            "engine": [engine for engine, _ in worst],
            "scenario": [scenario for _, scenario in worst],
            "share": share,
            "text": [f"{row['lost']} of {row['sent']}" for row in worst.values()],
        }
    )
    plot = figure(
        title="Requests lost (%), the worst run of each cell",
        x_range=[engine for engine in ENGINES if any(row["engine"] == engine for row in cells)],
        y_range=scenarios,
        width=900,
        height=max(240, 26 * len(scenarios) + 90),
        toolbar_location=None,
    )
    colours = linear_cmap("share", ["#2e7d32", "#fff59d", "#fb8c00", "#c62828"], low=0, high=max([*share, 1.0]))
    plot.rect(x="engine", y="scenario", width=0.98, height=0.94, source=source, fill_color=colours, line_color=None)
    plot.text(x="engine", y="scenario", text="text", source=source, text_align="center", text_baseline="middle")
    plot.add_tools(HoverTool(tooltips=[("scenario", "@scenario"), ("lost", "@text"), ("%", "@share{0.00}")]))
    return str(file_html(plot, INLINE, "Requests lost"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read a run's rows and write its results beside them; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.results", description="Render a benchmark run.")
    parser.add_argument("directory", type=Path, help="the report folder of the run")
    parser.add_argument("--write", type=Path, metavar="FILE", help="where to write the Markdown too")
    parser.add_argument("--command", default="make bench", help="what made the run, as the text is to say")
    options = parser.parse_args(arguments)
    try:
        rows = read_rows(options.directory)
    except (OSError, ValueError) as error:
        print(f"no results of a run in {options.directory}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    results = collected(rows, options.command, time.time())
    text = markdown(results)
    (options.directory / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (options.directory / "results.html").write_text(heat_map(rows), encoding="utf-8")
    for path in (options.directory / "RESULTS.md", options.write):
        if path is not None:
            path.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
