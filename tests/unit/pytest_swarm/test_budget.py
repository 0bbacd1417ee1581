"""A budget allows what it says and not a request more, and says what is wrong with its words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_swarm.budget import BadBudget, Budget, breach_report, figures_of, seconds_of
from pytest_swarm.ledger import LOST_CLASSES, Ledger, balance
from pytest_swarm.phases import split_into_phases
from tests.unit.pytest_swarm.books import finished, record

STEADY = split_into_phases(0.0, 10.0, [])


def books(*fates: str, seconds: float = 1.0) -> Ledger:
    """A request a second, each with its fate; the service logs those it answered."""
    records = [record(n, fate, at=float(n), seconds=seconds) for n, fate in enumerate(fates)]
    log = [finished(n) for n, fate in enumerate(fates) if fate == "answered"]
    return balance(records, log, STEADY, len(fates))


def broken(text: str, ledger: Ledger) -> list[str]:
    return [str(verdict) for verdict in Budget.parse(text).judge(ledger) if not verdict.is_kept]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("500ms", 0.5), ("2s", 2.0), ("1m30s", 90.0), ("1.5s", 1.5), ("2", 2.0), (2, 2.0), (0.25, 0.25), ("0", 0.0)],
)
def test_durations_are_docker_s_or_numbers_of_seconds(value: object, seconds: float) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "2 parsecs", "-2s", -1, "inf", "nan", True, None])
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds_of(value)


def test_a_marker_and_an_option_say_the_same() -> None:
    words = {"lost": 0, "p99": "2s", "longest_gap": "500ms", "ratio": 0.001, "http_error": 3}

    assert Budget.of(words) == Budget.parse("lost=0, p99=2s,longest_gap=500ms,ratio=0.001,http-error=3")
    assert str(Budget.of(words)) == "lost=0, p99=2 s, longest_gap=0.5 s, ratio=0.001, http_error=3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lots=1", "nothing is called 'lots': expected one of lost, duplicates, ratio, seconds_with_loss, "),
        ("p100=1s", "nothing is called 'p100': expected one of .*, or p1 to p99"),
        ("lost", "expected KEY=LIMIT.* such as lost=0,p99=2s, not 'lost'"),
        ("lost=0,", "expected KEY=LIMIT.*, not ''"),
        ("lost=some", "lost is 'some': expected a whole number such as 0"),
        ("lost=-1", "lost is '-1': expected a whole number"),
        ("lost=0.5", "lost is '0.5': expected a whole number"),
        ("p99=fast", 'p99 is \'fast\': expected "500ms", "2s" or 2'),
        ("ratio=5%", "ratio is '5%': expected a part of 1 such as 0.001"),
        ("ratio=nan", "ratio is 'nan': expected a part of 1"),
        ("timed-out=0,timed_out=1", "timed_out is limited twice"),
    ],
)
def test_a_bad_word_is_named_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(BadBudget, match=message):
        Budget.parse(text)


@pytest.mark.parametrize("words", [{"lost": True}, {"lost": None}, {"ratio": None}, {"p99": [1]}])
def test_a_marker_s_value_of_the_wrong_kind(words: dict[str, Any]) -> None:
    with pytest.raises(BadBudget, match="expected"):
        Budget.of(words)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lost=1", "lost: allowed 1, seen 2"),
        ("ratio=0.39", "ratio: allowed 0.39, seen 0.4"),
        ("refused=0", "refused: allowed 0, seen 1"),
        ("seconds_with_loss=1", "seconds_with_loss: allowed 1, seen 2"),
        ("longest_gap=2s", "longest_gap: allowed 2 s, seen 3 s"),
        ("p99=999ms", "p99: allowed 0.999 s, seen 1 s"),
        ("slowest=0.5", "slowest: allowed 0.5 s, seen 1 s"),
    ],
)
def test_a_limit_that_is_passed_is_told_with_what_was_seen(text: str, complaint: str) -> None:
    ledger = books("answered", "reset", "refused", "answered", "answered")
    key = text.partition("=")[0]
    seen = {"lost": "2", "ratio": "0.4", "refused": "1", "seconds_with_loss": "2", "longest_gap": "3"}.get(key, "1")

    assert broken(text, ledger) == [complaint]
    assert broken(f"{key}={seen}", ledger) == []


@pytest.mark.parametrize("name", LOST_CLASSES)
def test_every_class_of_loss_has_a_limit_of_its_own(name: str) -> None:
    assert broken(f"{name}=0", books("answered", name)) == [f"{name.replace('-', '_')}: allowed 0, seen 1"]
    assert broken(f"{name}=1", books("answered", name)) == []


def test_every_key_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/budgets.md").read_text()

    assert [key for key in figures_of(books("answered")) if not key.startswith("p") and f"`{key}`" not in page] == []


def test_losses_of_the_same_second_count_once() -> None:
    records = [record(n, "reset", at=at) for n, at in enumerate([100.25, 100.75, 101.0, 101.5])]

    assert balance(records, [], STEADY, 4).seconds_with_loss == 2


def test_duplicates_are_counted() -> None:
    events = [finished(1, task="web.1.abc"), finished(1, task="web.2.def")]

    assert broken("duplicates=0", balance([record(1)], events, STEADY, 1)) == ["duplicates: allowed 0, seen 1"]


def test_what_a_run_cannot_show_is_no_pass() -> None:
    unlogged = balance([record(1)], [], STEADY, 1)

    assert broken("duplicates=0", unlogged) == [
        "duplicates: allowed 0, cannot be told: the service keeps no log of its requests that would show them"
    ]
    assert broken("p99=2s", books("reset")) == ["p99: allowed 2 s, cannot be told: no request was answered"]
    assert broken("ratio=1", books("unsent")) == ["ratio: allowed 1, cannot be told: nothing was sent"]


def test_one_budget_goes_over_another_key_by_key() -> None:
    assert Budget.parse("lost=3").over(Budget.parse("lost=0,p99=2s")) == Budget.parse("lost=3,p99=2s")


def test_a_hair_over_a_limit_is_shown_as_over_it() -> None:
    assert broken("p99=2s", books("answered", seconds=2.0004)) == ["p99: allowed 2 s, seen 2.0004 s"]


def test_the_report_of_a_breach_is_one_message() -> None:
    ledger = books("reset")

    assert breach_report(Budget.parse("lost=0,reset=0").judge(ledger), "the story") == (
        "the loss budget is broken: lost: allowed 0, seen 1; reset: allowed 0, seen 1\nthe story"
    )
