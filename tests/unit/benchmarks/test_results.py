"""What is made of a run's rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.benchmarks.results import (
    SCHEMA_FILE,
    collected,
    cost_table,
    fault_table,
    main,
    markdown,
    matrix_table,
    names_table,
    reasons,
    spread,
)

CELL: dict[str, Any] = {
    "table": "matrix",
    "engine": "orchestrator",
    "scenario": "update",
    "issue": "30321",
    "run": 1,
    "mesh": True,
    "sent": 500,
    "answered": 500,
    "lost": 0,
    "classes": {"refused": 0, "reset": 0},
    "gap": 1.0,
    "p50": 1.0,
    "p99": 1.01,
    "change": 9.5,
    "valid": True,
    "note": "",
}
COST = {"table": "costs", "remark": ""}
FAULT: dict[str, Any] = {
    "table": "faults",
    "engine": "orchestrator",
    "fault": "worker killed",
    "asked": "node-1,node-2 by mesh",
    "noticed": 12.0,
    "left_out": 1.1,
    "made_good": 13.0,
    "sent": 300,
    "lost": 3,
    "duplicates": 0,
    "gap": 1.0,
    "valid": True,
    "note": "",
}
NAMES: dict[str, Any] = {
    "table": "names",
    "engine": "docker",
    "change": "scale 6 to 3",
    "ttl": 600,
    "settled": 1.26,
    "samples": 400,
    "stale_seconds": 2400.0,
    "stale_answers": 90,
    "wrong_answers": 0,
    "incomplete_answers": 0,
    "gaps": 0,
    "longest_gap": 0.0,
    "shortest_warning": -0.05,
}
ROWS = [
    CELL,
    {**CELL, "engine": "docker", "lost": 8, "classes": {"refused": 5, "reset": 3}},
    {**CELL, "engine": "docker", "run": 2, "lost": 12, "classes": {"refused": 12, "reset": 0}},
    {**CELL, "engine": "docker", "run": 3, "lost": 9, "classes": {"refused": 9, "reset": 0}, "p99": None},
    {
        **{key: CELL[key] for key in ("table", "issue", "run")},
        "engine": "docker",
        "scenario": "scale up",
        "mesh": False,
        "unable": "no port is free",
    },
    {
        "table": "costs",
        "engine": "orchestrator",
        "measure": "boot",
        "unit": "s",
        "values": [4.0, 5.0, 6.0],
        "remark": "",
    },
    {"table": "costs", "engine": "docker", "measure": "boot", "unit": "s", "values": [2.5], "remark": ""},
    {"table": "costs", "engine": "orchestrator", "measure": "mesh", "unit": "per s", "values": [900.0], "remark": ""},
    FAULT,
    NAMES,
]


def test_a_scenario_is_a_line_with_both_engines() -> None:
    update, scale_up = matrix_table(ROWS)

    assert update["moby"] == "#30321"
    assert update["orchestrator: lost"] == "0 of 500"
    assert update["docker: lost"] == "8/9/12 of 500"
    assert update["docker: how"] == "26 refused, 3 reset"
    assert (scale_up["orchestrator: lost"], scale_up["docker: lost"]) == ("not run", "cannot")


def test_an_invalid_run_is_marked_and_its_reason_told() -> None:
    rows = [{**CELL, "valid": False, "note": "no request was sent\nthe story"}]

    assert matrix_table(rows)[0]["orchestrator: lost"] == "0 of 500 (invalid)"
    assert reasons(rows) == ["orchestrator, update: no request was sent"]


def test_a_cost_is_a_line_with_the_ratio_of_the_medians() -> None:
    boot, mesh = cost_table(ROWS)

    assert boot == {"measure": "boot", "unit": "s", "orchestrator": "4.00/5.00/6.00", "docker": "2.50", "ratio": "2.00"}
    assert (mesh["docker"], mesh["ratio"]) == ("-", "-")


def test_a_fault_is_a_line_for_each_engine() -> None:
    theirs = {**FAULT, "engine": "docker", "asked": "each task", "left_out": None, "valid": False, "note": "too short"}
    ours, docker = fault_table([*ROWS, theirs, {**FAULT, "noticed": 14.0, "lost": 5}])
    assert (ours["engine"], ours["runs"], ours["noticed s"]) == ("orchestrator", "2", "12.00/13.00/14.00")
    assert (ours["lost"], ours["lost in all"], ours["invalid"]) == ("3/4/5 of 300", "8 of 600", "0")
    assert (docker["left out s"], docker["invalid"]) == ("-", "1")


def test_what_tasks_are_told_is_a_line_for_each_engine() -> None:
    ours = {**NAMES, "engine": "orchestrator", "shortest_warning": None, "settled": None}
    docker, other = names_table([*ROWS, ours, {**NAMES, "stale_answers": 92, "samples": 500}])
    assert (docker["engine"], docker["runs"], docker["answers"]) == ("docker", "2", "400/450/500")
    assert (docker["TTL s"], docker["stale"], docker["warning s"]) == ("600", "90/91/92", "-0.05")
    assert (other["engine"], other["warning s"], other["unsettled"]) == ("orchestrator", "-", "1")


@pytest.mark.parametrize(("values", "text"), [([], "-"), ([2, 2], "2"), ([3, 1, 2], "1/2/3")])
def test_several_values_are_a_spread(values: list[float], text: str) -> None:
    assert spread(values, "{:g}") == text


def test_the_results_keep_to_their_schema_and_the_text_leaves_no_row_out() -> None:
    results = collected(ROWS, "make bench", 1_700_000_000.0)

    jsonschema.validate(results, json.loads(SCHEMA_FILE.read_text()))
    text = markdown(results)
    assert "2023-11-14" in text
    assert "8/9/12 of 500" in text
    assert "- docker, scale up: no port is free" in text
    assert "| worker killed | orchestrator | 1 " in text
    assert "| scale 6 to 3 | docker   | 1 " in text


def test_a_run_is_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    assert main([str(tmp_path), "--write", str(tmp_path / "copy.md")]) == 0

    assert capsys.readouterr().out.startswith("# What an update loses")
    assert (tmp_path / "copy.md").read_text() == (tmp_path / "RESULTS.md").read_text()
    assert "Requests lost" in (tmp_path / "results.html").read_text()


def test_a_folder_without_a_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"no results of a run in {tmp_path}: ")
