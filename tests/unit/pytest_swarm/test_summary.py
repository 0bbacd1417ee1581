"""summary.json keeps to the schema that the package ships."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import pytest

from pytest_swarm.budget import Budget
from pytest_swarm.guards import Control
from pytest_swarm.ledger import CLASSES, balance
from pytest_swarm.options import resolve
from pytest_swarm.phases import Operation, Replacement, split_into_phases
from pytest_swarm.progress import Progress
from pytest_swarm.report.summary import SCHEMA_FILE, SCHEMA_VERSION, summarize, write_summary
from pytest_swarm.report.terminal import boot_line, run_table
from pytest_swarm.service_spec import update_policy
from pytest_swarm.session import Session
from tests.unit.pytest_swarm.books import received, record
from tests.unit.pytest_swarm.rollouts import cluster_of

SCHEMA: Mapping[str, Any] = json.loads(SCHEMA_FILE.read_text())


@pytest.fixture
def session() -> Session:
    update = Operation("update", 2.0, 8.0, (Replacement("slot 1", 2.5, 4.0),))
    unhealed = Operation("n1 killed", 5.0, math.inf, is_fault=True)
    records = [record(1), record(2, "reset", at=3.0), record(3, at=9.0, version="2")]
    ledger = balance(records, [received(2, time=3.1)], split_into_phases(0.0, 10.0, [update, unhealed]), 3)
    run = SimpleNamespace(
        scenario="test_shop.py::test_update[stop-first]",
        name="load1",
        cluster=cluster_of("orchestrator"),
        has_ended=True,
        service=SimpleNamespace(deployment=SimpleNamespace(image="shop:1", replicas=3)),
        policy=update_policy({"UpdateConfig": {"Parallelism": 1, "Order": "stop-first"}}),
        settings=SimpleNamespace(users=10, rate=None),
        ledger=ledger,
        operations=[update, unhealed],
        update_seconds=6.0,
        violations=[],
        unproven=[],
        control=Control(asked=40, failed=0, slowest=0.01),
        verdicts=Budget.parse("lost=0,p99=2s").judge(ledger),
    )
    options = resolve(lambda name: None, {}, lambda name: None)
    clusters = {name: cluster_of(name) for name in options.engines}
    return Session(options, Progress(None), clusters=clusters, runs=[cast(Any, run)])


def test_the_summary_keeps_to_its_schema(session: Session, tmp_path: Path) -> None:
    path = write_summary(tmp_path / "new", summarize(session))

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    summary = json.loads(path.read_text())
    jsonschema.validate(summary, SCHEMA)
    fault = summary["runs"][0]["operations"][1]
    assert fault == {"name": "n1 killed", "started": 5.0, "seconds": None, "is_fault": True, "replacements": []}


def test_the_summary_tells_where_a_loss_happened(session: Session) -> None:
    (loss,) = summarize(session)["runs"][0]["losses"]

    assert (loss["class"], loss["phase"], loss["received_by"]) == ("reset", "update", ["web.1.abc@n1"])


def test_the_summary_tells_the_policy_and_what_each_task_did(session: Session) -> None:
    run = summarize(session)["runs"][0]

    assert (run["policy"]["parallelism"], run["policy"]["failure_action"]) == (1, "pause")
    assert run["tasks"] == [{"task": "web.1.abc", "node": "n1", "version": "1", "received": 1, "finished": 0}]
    assert [phase["started"] for phase in run["phases"]][:3] == [0.0, 2.0, 5.0]


def test_the_schema_names_this_version_and_every_class() -> None:
    run = SCHEMA["$defs"]["run"]["properties"]

    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert set(run["classes"]["required"]) == set(run["classes"]["properties"]) == set(CLASSES)


def test_the_table_has_a_row_for_each_run(session: Session) -> None:
    header, _, row = run_table(summarize(session)).splitlines()

    assert header.split()[:5] == ["engine", "scenario", "policy", "sent", "answered"]
    assert row.split()[:6] == ["orchestrator", "test_update[stop-first]", "stop-first", "3", "2", "1"]


def test_a_limit_is_listed_with_what_was_seen(session: Session) -> None:
    budget = summarize(session)["runs"][0]["budget"]

    assert [(each["key"], each["allowed"], each["seen"], each["kept"]) for each in budget] == [
        ("lost", 0, 1, False),
        ("p99", 2.0, 1.0, True),
    ]


def test_the_boot_is_told_step_by_step(session: Session) -> None:
    (cluster,) = summarize(session)["clusters"]

    assert boot_line(cluster) == (
        "orchestrator: 4 nodes Ready 4.50 s after the first container start: "
        "containers 1.00, API 2.00, join 1.00, Ready 0.50"
    )
