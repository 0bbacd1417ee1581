"""How exactly a request got lost: told from the stage, the connection and the service's log."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pytest_swarm.kinds import kind_of
from pytest_swarm.ledger import LOST_CLASSES, balance
from pytest_swarm.phases import split_into_phases
from tests.unit.pytest_swarm.books import finished, record

STEADY = split_into_phases(0.0, 10.0, [])


@pytest.mark.parametrize(
    ("fate", "circumstances", "kind"),
    [
        ("refused", {"stage": "connect", "error": "ECONNREFUSED"}, "refused-no-listener"),
        ("refused", {"stage": "connect", "error": "EHOSTUNREACH"}, "refused-no-route"),
        ("refused", {"stage": "connect", "error": "ENETUNREACH"}, "refused-no-route"),
        ("refused", {"stage": "connect", "error": "gaierror"}, "refused-no-name"),
        ("reset", {"stage": "connect"}, "reset-connecting"),
        ("reset", {"stage": "send"}, "reset-fresh"),
        ("reset", {"stage": "head"}, "reset-fresh"),
        ("reset", {"stage": "head", "reused": True}, "reset-reused"),
        ("reset", {"stage": "head", "reused": None}, "reset-unknown"),
        ("reset", {"stage": "body", "reused": True}, "reset-mid-body"),
        ("closed-early", {"stage": "head"}, "closed-early-fresh"),
        ("closed-early", {"stage": "head", "reused": True}, "closed-early-reused"),
        ("truncated", {"stage": "head"}, "truncated-head"),
        ("truncated", {"stage": "body"}, "truncated-body"),
        ("timed-out", {"stage": "connect"}, "timed-out-connecting"),
        ("timed-out", {"stage": "head"}, "timed-out-unanswered"),
        ("timed-out", {"stage": "body"}, "timed-out-mid-body"),
        ("http-error", {"status": 503}, "http-error-503"),
        ("http-error", {"status": 200}, "http-error-unversioned"),
        ("http-error", {"status": None}, "http-error-not-http"),
        ("answered", {"status": 200}, "answered"),
        ("unsent", {"stage": "connect"}, "unsent"),
    ],
)
def test_kinds(fate: str, circumstances: dict[str, Any], kind: str) -> None:
    assert kind_of(dataclasses.replace(record(1, fate), **circumstances), was_finished=False) == kind


def test_an_answer_that_came_too_late_is_no_hang() -> None:
    hung, late = record(1, "timed-out"), record(2, "timed-out")

    assert balance([hung, late], [finished(2)], STEADY, 2).kinds == {
        "timed-out-answered-late": 1,
        "timed-out-unanswered": 1,
    }


@given(some.lists(some.tuples(some.sampled_from(LOST_CLASSES), some.sampled_from(["connect", "head", "body"]))))
def test_kinds_add_up_to_their_classes(fates: list[tuple[str, str]]) -> None:
    records = [dataclasses.replace(record(n, fate), stage=stage) for n, (fate, stage) in enumerate(fates)]
    ledger = balance(records, [], STEADY, len(fates))

    by_class: Counter[str] = Counter()
    for kind, count in ledger.kinds.items():
        by_class[next(name for name in LOST_CLASSES if kind.startswith(f"{name}-"))] += count
    assert by_class == Counter(fate for fate, _ in fates)
    assert sum(ledger.kinds.values()) == ledger.lost


def test_a_story_tells_the_age_of_a_reused_connection() -> None:
    old = dataclasses.replace(record(1, "reset"), reused=True, connection_age=3.25, nth_on_connection=7)
    ledger = balance([old], [], STEADY, 1)

    assert "to 198.18.0.2:8080 as request 7 on a connection 3.250 s old; " in ledger.losses[0].story()
    assert ledger.losses[0].story().startswith("run-000001: reset-reused after 1.000 s in phase steady")
