"""The books: one class for each request, and a balance that is checked rather than believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pytest_swarm.ledger import CLASSES, LOST_CLASSES, Ledger, LedgerError, ServerEvent, TaskCounts, balance
from pytest_swarm.phases import Operation, Phase, Replacement, split_into_phases
from tests.unit.pytest_swarm.books import finished, received, record

STEADY = split_into_phases(0.0, 10.0, [])


def test_sent_is_the_sum_of_the_classes() -> None:
    fates = ["answered", "answered", *LOST_CLASSES, "unsent"]
    ledger = balance([record(n, fate) for n, fate in enumerate(fates)], [], STEADY, len(fates))

    assert (ledger.sent, ledger.answered, ledger.lost) == (8, 2, 6)
    assert ledger.sum_line() == (
        "sent 8 = 2 answered + 1 http-error + 1 refused + 1 reset + 1 closed-early + 1 truncated + 1 timed-out"
        " + 0 duplicate; unsent 1 of 9 requested"
    )


@given(some.lists(some.sampled_from([name for name in CLASSES if name != "duplicate"])))
def test_every_record_has_one_class(fates: list[str]) -> None:
    ledger = balance([record(n, fate) for n, fate in enumerate(fates)], [], STEADY, len(fates))

    assert sum(ledger.counts.values()) == len(fates)
    assert ledger.sent == len(fates) - fates.count("unsent")
    assert ledger.sent == ledger.answered + ledger.lost + ledger.duplicates


def test_a_missing_record_does_not_balance() -> None:
    with pytest.raises(LedgerError, match="2 requests were asked for, but 1 are on record"):
        balance([record(1)], [], STEADY, 2)


def test_a_doubled_record_does_not_balance() -> None:
    with pytest.raises(LedgerError, match="1 requests have more than one record, first run-000001"):
        balance([record(1), record(1)], [], STEADY, 2)


def test_an_unknown_class_does_not_balance() -> None:
    with pytest.raises(LedgerError, match="unknown class: fine"):
        balance([record(1, "fine")], [], STEADY, 1)


@pytest.mark.parametrize(("fate", "duplicates", "lost"), [("answered", 1, 0), ("reset", 0, 1), ("unsent", 0, 0)])
def test_a_request_finished_twice_is_a_duplicate_unless_the_client_lost_it(
    fate: str, duplicates: int, lost: int
) -> None:
    events = [finished(1, task="web.1.abc"), finished(1, task="web.2.def")]
    ledger = balance([record(1, fate)], events, STEADY, 1)

    assert (ledger.duplicates, ledger.lost) == (duplicates, lost)
    assert all("task web.1.abc" in loss.story() and "task web.2.def" in loss.story() for loss in ledger.losses)


def test_a_log_line_that_was_read_twice_is_no_duplicate() -> None:
    ledger = balance([record(1)], [finished(1), finished(1)], STEADY, 1)

    assert ledger.counts["answered"] == 1


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([finished(2)], "the service never received it"),
        ([], "the service's log does not tell of requests"),
        ([received(1)], "received but not finished it on task web.1.abc at node n1"),
        ([received(1), finished(1)], "had finished it on task web.1.abc at node n1"),
    ],
)
def test_a_loss_says_how_far_the_service_got(events: list[ServerEvent], words: str) -> None:
    ledger = balance([record(1, "reset"), record(2)], events, STEADY, 2)

    assert words in ledger.losses[0].story()


def test_a_loss_names_its_phase_and_the_slot_being_replaced() -> None:
    update = Operation("update", 2.0, 8.0, (Replacement("slot 2", 3.0, 5.0),))
    phases = split_into_phases(0.0, 10.0, [update])
    ledger = balance([record(1, "closed-early", at=3.5, seconds=0.5)], [], phases, 1)

    assert "in phase update (while replacing slot 2)" in ledger.losses[0].story()


def test_a_zero_is_printed_with_what_it_proves() -> None:
    assert balance([record(1), record(2)], [], STEADY, 2).verdict() == (
        "0 of 2 lost: the true rate is below 3/2 at 95 %"
    )


def test_a_run_that_sent_nothing_proves_nothing() -> None:
    assert balance([record(1, "unsent")], [], STEADY, 1).verdict() == "nothing was sent, so nothing is proved"


def test_the_longest_gap_counts_from_the_first_request_to_the_end() -> None:
    records = [record(1, at=0.0), record(2, at=1.0), record(3, "refused", at=2.0, seconds=2.5), record(4, at=5.0)]

    assert balance(records, [], STEADY, 4).longest_gap == 4.0


def test_percentiles_are_those_of_answered_requests() -> None:
    records = [record(n, seconds=float(n)) for n in range(1, 101)] + [record(101, "timed-out", seconds=999.0)]
    ledger = balance(records, [], STEADY, 101)

    assert (ledger.percentile(50), ledger.percentile(99)) == (50.0, 99.0)
    assert _empty().percentile(50) is None


def test_versions_are_those_that_answered() -> None:
    records = [record(1, version="1"), record(2, version="2"), record(3, "reset")]

    assert balance(records, [], STEADY, 3).versions == {"1", "2"}


def test_an_answer_without_a_version_is_an_error_where_others_name_theirs() -> None:
    ledger = balance([record(1, version="1"), record(2, version=None)], [], STEADY, 2)

    assert (ledger.answered, ledger.counts["http-error"]) == (1, 1)
    assert "the answer names no version" in ledger.losses[0].story()


def test_a_service_may_name_no_version_at_all() -> None:
    assert balance([record(1, version=None), record(2, version=None)], [], STEADY, 2).answered == 2


def _empty() -> Ledger:
    return balance([], [], [Phase("steady", 0.0, 0.0)], 0)


def test_each_task_is_counted_by_the_services_own_log() -> None:
    events = [received(1), finished(1), received(2), received(3, task="web.2.def"), finished(3, task="web.2.def")]
    ledger = balance([record(1), record(2, "reset"), record(3)], events, STEADY, 3)

    assert ledger.tasks == (TaskCounts("web.1.abc", "n1", "1", 2, 1), TaskCounts("web.2.def", "n1", "1", 1, 1))
