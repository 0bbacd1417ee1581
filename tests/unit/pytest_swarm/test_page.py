"""The page: everything on it is escaped, and nothing on it is fetched."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_swarm.load import LoadRun
from pytest_swarm.phases import Operation
from pytest_swarm.report import conclude
from pytest_swarm.report.figure import lane_label
from pytest_swarm.report.page import draw, write_page
from pytest_swarm.report.summary import summarize
from pytest_swarm.report.timeline import Lane
from tests.unit.pytest_swarm.rollouts import books, load_run, session_of

HOSTILE = "</script><img src=x onerror=alert(1)>&amp;"


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text without scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.items: list[str] = []
        self._inside: tuple[str, dict[str, str | None]] = ("", {})
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = (tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ("", {})

    def handle_data(self, data: str) -> None:
        tag, attributes = self._inside
        if attributes.get("type") == "application/json":
            self.items.append(data)
        elif tag not in ("script", "style") and data.strip():
            self.text.append(" ".join(data.split()))


def page_of(directory: Path, *runs: LoadRun) -> Elements:
    return Elements(
        write_page(directory, summarize(session_of(*runs)), [draw(run) for run in runs]).read_text(encoding="utf-8")
    )


def a_loss(**settings: Any) -> LoadRun:
    ledger, update = books(60, {30: "reset"}, **settings)
    return load_run(ledger, [update])


def test_verdict_and_books_stand_on_top(tmp_path: Path) -> None:
    text = page_of(tmp_path / "new", a_loss()).text

    assert "1 of 60 requests lost" in text
    assert "over budget: lost: allowed 0, seen 1" in text
    assert any(line.startswith("sent 60 = 59 answered + 0 http-error") for line in text)
    assert any(line.startswith("run-000030: reset-fresh after 0.950 s in phase update") for line in text)


@pytest.mark.parametrize(
    ("fates", "budget", "mark"),
    [
        ({}, "", "good"),
        ({30: "reset"}, "", "bad"),
        ({30: "duplicate"}, "", "bad"),
        ({}, "lost=0", "good"),
        ({30: "reset"}, "lost=0", "bad"),
        ({30: "reset"}, "lost=1", "good"),
    ],
)
def test_a_run_is_as_good_as_its_budget_says(tmp_path: Path, fates: dict[int, str], budget: str, mark: str) -> None:
    ledger, update = books(60, fates)
    page = page_of(tmp_path, load_run(ledger, [update], budget=budget))

    assert [attributes["class"] for tag, attributes in page.tags if tag == "details"] == [f"run {mark}"]


def test_an_invalid_run_is_not_good(tmp_path: Path) -> None:
    ledger, update = books(60)
    run = load_run(ledger, [update])
    run.violations.append("too thin")
    page = page_of(tmp_path, run)

    assert [attributes["class"] for tag, attributes in page.tags if tag == "details"] == ["run bad"]
    assert "nothing is proved: too thin" in page.text


def test_a_fault_without_an_end_is_said_to_have_none(tmp_path: Path) -> None:
    ledger, update = books(60)
    fault = Operation("n2 partitioned", update.started, math.inf, is_fault=True)
    text = page_of(tmp_path, load_run(ledger, [update, fault])).text

    assert text[text.index("n2 partitioned") + 1] == "outlasted the load"
    assert text[text.index("update") + 1] == "2.000 s"


@pytest.mark.parametrize(
    ("lane", "label"),
    [
        (Lane("n1", "web.1.k3id8cs7epkf7pm1wfsp41ea3", 0, 2), "n1 web.1.k3id8"),
        (Lane("n1", "a-service-with-quite-a-long-name.12.k3id8cs7epkf7", 0, 2), "n1 a-service-with-quite-….12.k3id8"),
        (Lane("", "no task, 198.18.0.2", 0, 2), "no task, 198.18.0.2"),
    ],
)
def test_a_lane_is_named_for_a_narrow_margin(lane: Lane, label: str) -> None:
    assert lane_label(lane) == label


def test_the_page_is_written_where_the_summary_is(tmp_path: Path) -> None:
    session = session_of(a_loss())
    session.options = dataclasses.replace(session.options, report_dir=tmp_path)
    lines: list[str] = []
    reporter = SimpleNamespace(section=lines.append, write_line=lambda line, **_: lines.append(line))

    conclude(session, cast(Any, reporter))

    assert lines[-2:] == [f"written: {tmp_path / 'summary.json'}", f"written: {tmp_path / 'report.html'}"]
    assert (tmp_path / "report.html").exists()


def test_only_classes_that_occur_can_be_filtered(tmp_path: Path) -> None:
    boxes = [attributes["value"] for tag, attributes in page_of(tmp_path, a_loss()).tags if tag == "input"]

    assert boxes == ["answered", "reset"]


def test_whatever_was_said_is_escaped(tmp_path: Path) -> None:
    run = a_loss(detail=HOSTILE)
    run.scenario = HOSTILE
    run.violations.append(HOSTILE)
    page = page_of(tmp_path, run)

    assert [tag for tag, _ in page.tags if tag == "img"] == []
    assert HOSTILE in page.text
    assert f"invalid: {HOSTILE}" in page.text
    assert any(line.endswith(HOSTILE) for line in page.text if line.startswith("run-000030"))
    assert HOSTILE in json.dumps(json.loads(page.items[0]))


def test_nothing_refers_to_anywhere_else(tmp_path: Path) -> None:
    page = page_of(tmp_path, a_loss())
    (policy,) = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]

    assert not {"src", "href", "action"} & {name for _, attributes in page.tags for name in attributes}
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"https?:", policy)


def test_each_load_has_a_figure_of_its_own(tmp_path: Path) -> None:
    page = page_of(tmp_path, a_loss(), a_loss())
    roots = [json.loads(item)["root_id"] for item in page.items]

    assert [attributes["id"] for _, attributes in page.tags if attributes.get("class") == "figure"] == [
        "figure-0",
        "figure-1",
    ]
    assert len(set(roots)) == 2
