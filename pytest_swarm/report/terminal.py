"""The table at the end of a session: one row per load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_swarm.baseline import Comparison
from pytest_swarm.ledger import LOST_CLASSES

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster


def boot_line(cluster: dict[str, Any]) -> str:
    """Say how long a cluster took to boot, step by step; times are seconds."""
    times = cluster["boot_seconds"]
    return (
        f"{cluster['engine']}: {cluster['nodes']} nodes Ready {times['total']:.2f} s after the first container start: "
        f"containers {times['containers']:.2f}, API {times['answering']:.2f}, "
        f"join {times['joined']:.2f}, Ready {times['ready']:.2f}"
    )


def run_table(summary: dict[str, Any]) -> str:
    """Lay out the runs of a summary; counts are integers, times seconds."""
    from tabulate import tabulate

    rows = [_row(run) for run in summary["runs"]]
    return tabulate(rows, headers="keys", floatfmt=".3f", missingval="-")


def run_lines(run: dict[str, Any]) -> list[str]:
    """Say of one run what its row in the table cannot: the balance, how requests got lost, what broke its budget."""
    lines = [f"{run['balance']}; {run['verdict']}"]
    if run["kinds"]:
        lines.append("lost " + ", ".join(f"{count} {kind}" for kind, count in run["kinds"].items()))
    lines += run["unproven"]
    lines += [f"over budget: {limit['text']}" for limit in run["budget"] if not limit["kept"]]
    return [f"{run['scenario']}: {line}" for line in lines]


def failure_lines(summary: dict[str, Any], not_archived: Sequence[str]) -> list[str]:
    """Say where the archive of each failure is, or why there is none."""
    lines = [f"failure archived: {failure['archive']}" for failure in summary["failures"]]
    return lines + [f"failure not archived: {sentence}" for sentence in not_archived]


def comparison_lines(comparison: Comparison, name: str) -> list[str]:
    """Lay out a comparison with the baseline of this name; a line for each regression comes last."""
    from tabulate import tabulate

    lines = [f"compared with baseline {name}:"]
    if comparison.rows:
        cells = [row.cells() for row in comparison.rows]
        lines.append(tabulate(cells, headers="keys", disable_numparse=True, stralign="left"))
    lines += [f"not in the baseline: {run}" for run in comparison.only_now]
    if comparison.only_then:
        lines.append(f"runs of the baseline that are not in this session: {len(comparison.only_then)}")
    return lines + [f"REGRESSION: {sentence}" for sentence in comparison.regressions]


def entry_hints(cluster: Cluster) -> list[str]:
    """Say how to enter each node of a kept cluster, how to drive it from the host, and how to remove it."""
    lines = ["the cluster was kept; enter a node with"]
    lines += [f"  docker exec -it {node.container_name} bash" for node in cluster.nodes]
    socket = cluster.directory / cluster.nodes[0].name / "docker.sock"
    lines.append(f"or drive it from here: DOCKER_HOST=unix://{socket} docker node ls")
    return [*lines, f"and remove it with: pytest-swarm-cleanup {cluster.owner.run}"]


def _row(run: dict[str, Any]) -> dict[str, Any]:
    classes = run["classes"]
    return {
        "engine": run["engine"],
        "scenario": run["scenario"].rpartition("::")[2],
        "policy": run["policy"]["order"],
        "sent": run["sent"],
        "answered": classes["answered"],
        "lost": run["lost"],
        **{name: classes[name] for name in LOST_CLASSES},
        "duplicate": classes["duplicate"],
        "gap s": run["longest_gap_seconds"],
        "p50 s": run["p50_seconds"],
        "p99 s": run["p99_seconds"],
        "update s": run["operations_seconds"],
        "valid": "yes" if run["valid"] else "NO",
    }
