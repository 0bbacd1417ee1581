"""The stories of requests in columns: both sides of each, and every shared text once."""

from __future__ import annotations

import math
from typing import Any

from pytest_swarm.report.stories import Stories
from pytest_swarm.report.timeline import draw_up
from tests.unit.pytest_swarm.rollouts import books

_COUNTS = {145: "reset", 148: "refused", 151: "duplicate"}
_TASK = "web.2.nk3id8cs7epkf7pm1wfsp41ea"


def told(requests: int = 300) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Each request's story by its id, with its texts filled in; and all texts."""
    ledger, update = books(requests, _COUNTS)
    timeline = draw_up(ledger, [update])
    stories = Stories(timeline.origin, is_logged=True)
    columns = stories.columns(timeline.bars)
    texts = stories.texts
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for row in rows:
        row.update({name: texts[row[name]] for name in ("fate", "client", "answer", "server")})
    return {row["id"]: row for row in rows}, texts


def test_a_loss_is_told_from_both_sides() -> None:
    story = told()[0]["run-000145"]

    assert story["fate"] == "reset-fresh in phase update, while replacing slot 2"
    assert story["client"] == "to 198.18.0.2:8080, on a fresh connection"
    assert story["answer"] == "EOF"
    assert story["server"] == f"received but not finished by task {_TASK} at node n2"
    assert round(float(story["received"]), 3) == 14.401
    assert math.isinf(story["served"])


def test_who_got_no_connection_was_never_received() -> None:
    story = told()[0]["run-000148"]

    assert story["server"] == "never received"
    assert math.isinf(story["received"])


def test_a_duplicate_names_both_places() -> None:
    story = told()[0]["run-000151"]

    assert story["answer"] == "status 200, version 2"
    assert story["server"] == f"finished 2 times: by task {_TASK} at node n4 and task {_TASK} at node n2"


def test_a_service_without_a_log_is_not_blamed() -> None:
    ledger, update = books(30)
    bare = [bar for bar in draw_up(ledger, [update]).bars if not bar.entry.finished]
    refused, _ = books(30, {5: "refused"})
    bars = [bar for bar in draw_up(refused, []).bars if bar.entry.is_lost]
    stories = Stories(0.0, is_logged=False)

    assert bare == []
    assert stories.texts == []
    assert [stories.texts[number] for number in stories.columns(bars)["server"]] == ["keeps no log"]


def test_texts_do_not_grow_with_the_load() -> None:
    few, many = told(300)[1], told(3000)[1]

    assert len(many) < len(few) + 10
