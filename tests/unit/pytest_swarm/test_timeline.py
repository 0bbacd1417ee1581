"""The layout of a run's figure: lanes, rows, bands and bins, each with known numbers."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_swarm.ledger import ClientRecord, Ledger, ServerEvent, balance
from pytest_swarm.phases import Operation, Replacement, split_into_phases
from pytest_swarm.report.timeline import FAULT, OPERATION, PART, Timeline, draw_up, pack
from tests.unit.pytest_swarm.books import finished, received, record
from tests.unit.pytest_swarm.rollouts import STARTED, books


def drawn(records: list[ClientRecord], events: list[ServerEvent], operations: list[Operation]) -> Timeline:
    end = max(each.finished for each in records)
    ledger = balance(records, events, split_into_phases(0.0, end, operations), len(records))
    return draw_up(ledger, operations)


def test_a_request_lies_in_the_lane_of_the_task_that_had_it_first() -> None:
    records = [record(1), record(2, "duplicate"), record(3, "refused", at=1.0)]
    records[1] = dataclasses.replace(records[1], request_class="answered")
    late = dataclasses.replace(finished(2, task="web.2.def"), node="n2")
    events = [received(1), finished(1), received(2), finished(2), late]

    timeline = drawn(records, events, [])

    assert [(lane.node, lane.task) for lane in timeline.lanes] == [("n1", "web.1.abc"), ("", "no task, 198.18.0.2")]
    assert {bar.entry.record.request_id: bar.row for bar in timeline.bars} == {
        "run-000001": 0,
        "run-000002": 1,
        "run-000003": 2,
    }


def test_without_a_log_the_answer_names_the_task() -> None:
    records = [dataclasses.replace(record(1), task="23234fcbc12f"), record(2), record(3, "unsent")]

    assert [lane.task for lane in drawn(records, [], []).lanes] == [
        "23234fcbc12f",
        "never sent",
        "task unknown, 198.18.0.2",
    ]


def test_a_node_keeps_its_tasks_together_in_the_order_they_came() -> None:
    ledger, update = books(300)
    lanes = draw_up(ledger, [update]).lanes

    assert [lane.node for lane in lanes] == ["n1", "n1", "n2", "n2", "n3", "n3"]
    assert [lane.task.split(".")[2][0] for lane in lanes] == ["o", "n"] * 3
    assert [lane.first_row for lane in lanes[1:]] == list(itertools.accumulate(lane.rows for lane in lanes[:-1]))


def test_no_lane_is_too_thin_for_its_name() -> None:
    crowd = [record(number) for number in range(1, 401)]
    events = [received(number) for number in range(1, 401)]
    crowd_lane, lonely_lane = drawn([*crowd, record(401, "refused")], events, []).lanes

    assert crowd_lane.rows == 400
    assert lonely_lane.rows == 10


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=60))
def test_packed_spans_never_overlap_and_take_no_more_rows_than_needed(spans: list[tuple[int, int]]) -> None:
    placed = [(float(start), float(start + length)) for start, length in spans]
    rows = pack(placed)

    for (one, row), (other, other_row) in itertools.combinations(zip(placed, rows, strict=True), 2):
        # Two that take no time at the same moment may share a place: nothing is hidden.
        assert row != other_row or min(one[1], other[1]) <= max(one[0], other[0])
    most_at_once = max((sum(a <= moment < b for a, b in placed) for moment, _ in placed), default=0)
    assert max(rows, default=-1) + 1 <= most_at_once + 1


def test_operations_are_bands_cut_to_the_run_with_their_parts_below() -> None:
    update = Operation("update", 2.0, 8.0, (Replacement("slot 1", 2.5, 4.0), Replacement("slot 2", 4.0, 6.0)))
    fault = Operation("n2 killed", 3.0, math.inf, is_fault=True)
    records = [record(number, at=float(number)) for number in range(10)]

    bands = drawn(records, [], []).bands, draw_up(_ledger(records), [update, fault]).bands

    assert bands[0] == ()
    assert [(band.name, band.started, band.finished, band.row, band.kind) for band in bands[1]] == [
        ("update", 2.0, 8.0, 0, OPERATION),
        ("n2 killed", 3.0, 10.0, 1, FAULT),
        ("slot 1", 2.5, 4.0, 2, PART),
        ("slot 2", 4.0, 6.0, 2, PART),
    ]


def test_what_lies_outside_the_run_is_no_band() -> None:
    assert draw_up(_ledger([record(1)]), [Operation("scale", 5.0, 6.0), Operation("drain", -2.0, -1.0)]).bands == ()


def test_bins_count_what_ended_in_them_and_time_what_was_answered() -> None:
    records = [record(number, at=number / 10, seconds=0.05 * number) for number in range(1, 101)]
    records[49] = dataclasses.replace(records[49], request_class="reset")
    bins = draw_up(_ledger(records), []).bins

    assert {each.seconds for each in bins} == {0.5}
    assert sum(rate * each.seconds for each in bins for rate in each.rates.values()) == pytest.approx(100)
    assert sum(each.rates.get("reset", 0) * each.seconds for each in bins) == pytest.approx(1)
    # The last three took 4.9, 4.95 and 5 s.
    assert [bins[-1].p50, bins[-1].p99] == pytest.approx([4.95, 5.0])


def test_a_bin_without_an_answer_has_no_percentile() -> None:
    bins = draw_up(_ledger([record(1, seconds=0.05), record(2, "reset", at=1.0, seconds=0.05)]), []).bins

    assert bins[0].p50 == 0.05
    assert bins[0].rates == pytest.approx({"answered": 10.0})
    assert (bins[5].p50, bins[5].rates) == (None, {})
    assert bins[-1].p99 is None
    assert bins[-1].rates == pytest.approx({"reset": 10.0})


def test_an_empty_run_is_an_empty_picture() -> None:
    timeline = draw_up(balance([], [], split_into_phases(0.0, 0.0, []), 0), [])

    assert (timeline.lanes, timeline.bars, timeline.rows, timeline.seconds) == ((), (), 0, 0.0)


def test_moments_are_told_from_the_first_request_on() -> None:
    ledger, update = books(300)
    timeline = draw_up(ledger, [update])

    assert timeline.origin == STARTED
    assert min(bar.started for bar in timeline.bars) == pytest.approx(0.0, abs=1e-6)
    assert timeline.bands[0].started == pytest.approx(10.0)


def _ledger(records: list[ClientRecord]) -> Ledger:
    return balance(records, [], split_into_phases(0.0, 1.0, []), len(records))
