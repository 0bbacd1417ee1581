"""A run that proves nothing is found out, however green it looks."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_swarm.guards import Control, Expectations, unproven, verdict, violations
from pytest_swarm.ledger import ClientRecord, ServerEvent, balance
from pytest_swarm.phases import Operation, split_into_phases
from tests.unit.pytest_swarm.books import finished, received, record

UPDATE = Operation("update", 2.0, 8.0)
PHASES = split_into_phases(0.0, 12.0, [UPDATE])
GOOD = [record(1, at=0.0), record(2, at=3.0), record(3, at=9.0, version="2")]


CLEAN = Control(asked=40, failed=0, slowest=0.01)


def _violations(
    records: list[ClientRecord],
    log: Sequence[ServerEvent] = (),
    *,
    minimum: int = 3,
    rate: float = 0.0,
    versions: int = 2,
    in_flight: int = 0,
    control: Control = CLEAN,
    problems: tuple[str, ...] = (),
) -> list[str]:
    ledger = balance(records, log, PHASES, len(records))
    return violations(ledger, Expectations(minimum, versions, in_flight, control, rate, problems))


def test_a_good_run_is_valid() -> None:
    assert _violations(GOOD) == []


def test_requests_in_flight_at_the_end() -> None:
    assert _violations(GOOD, in_flight=2) == ["2 requests were still in flight when the load ended"]


def test_requests_that_were_never_sent() -> None:
    assert _violations([*GOOD, record(4, "unsent", at=9.0)]) == ["1 of 4 requests were never sent (first: unsent)"]


def test_too_few_requests() -> None:
    assert _violations(GOOD, minimum=500) == ["only 3 requests were sent, at least 500 are needed"]


def test_one_version_only() -> None:
    assert _violations([record(1, at=0.0), record(2, at=3.0), record(3, at=9.0)]) == [
        "2 versions had to answer, seen: 1"
    ]


def test_one_of_three_versions_that_never_answered() -> None:
    assert _violations(GOOD, versions=3) == ["3 versions had to answer, seen: 1, 2"]


def test_no_request_in_a_pause_between_two_operations() -> None:
    phases = split_into_phases(0.0, 12.0, [UPDATE, Operation("scale 3 to 6", 10.5, 11.0)])
    pause = next(phase for phase in phases if phase.name == "between update and scale 3 to 6")
    records = [record(1, at=0.0), record(2, at=3.0), record(3, at=10.6), record(4, at=11.5, version="2")]

    def empty(records: list[ClientRecord]) -> list[str]:
        log = [finished(number) for number in range(1, 6)]
        return violations(balance(records, log, phases, len(records)), Expectations(3, 2, 0, CLEAN))

    assert empty(records) == [f"no request in phase {pause.name!r}: the load was too short or too thin"]
    assert empty([*records, record(5, at=pause.started + 0.1)]) == []


def test_a_service_that_names_no_version_need_not_show_two() -> None:
    assert _violations([record(n, at=n * 3.0, version=None) for n in range(4)]) == []


def test_no_request_after_the_update() -> None:
    assert _violations(GOOD[:2], minimum=2, versions=0) == [
        "no request in phase 'after': the load was too short or too thin"
    ]


def test_a_request_that_spans_the_update_meets_it() -> None:
    records = [record(1, at=1.0, seconds=9.0), record(2, at=9.0, version="2")]
    assert _violations(records, minimum=2) == []


def test_answered_requests_that_the_log_does_not_know() -> None:
    log = [received(1), finished(1), received(2)]

    assert _violations(GOOD, log) == ["2 of 3 answered requests are missing from the service's log"]


def test_a_gap_in_the_log_comes_with_its_reason() -> None:
    assert _violations(GOOD, [finished(1), finished(2)], problems=("the log of task web.1 on n1: reset",)) == [
        "1 of 3 answered requests are missing from the service's log (the log of task web.1 on n1: reset)"
    ]


def test_a_log_that_could_not_be_read_at_all() -> None:
    assert _violations(GOOD, problems=("the containers of n1: refused",)) == [
        "the service's log could not be read (the containers of n1: refused)"
    ]


def test_a_problem_that_left_no_gap_is_none() -> None:
    assert _violations(GOOD, [finished(n) for n in (1, 2, 3)], problems=("the containers of n1: refused",)) == []


def test_the_last_lines_of_a_dead_node_need_not_be_in_the_log() -> None:
    phases = split_into_phases(0.0, 12.0, [UPDATE, Operation("n1 killed", 3.5, 8.5, is_fault=True, killed=("n1",))])
    log = [finished(1), finished(3)]

    def gaps(records: list[ClientRecord]) -> list[str]:
        return violations(balance(records, log, phases, 3), Expectations(3, 0, 0, CLEAN))

    assert gaps(GOOD) == []  # the second ended half a second after the node did
    assert gaps([GOOD[0], record(2, at=6.0), GOOD[2]]) == [
        "1 of 3 answered requests are missing from the service's log"
    ]


def test_lost_requests_need_not_be_in_the_log() -> None:
    records = [*GOOD, record(4, "refused", at=9.0)]

    assert _violations(records, [finished(n) for n in (1, 2, 3)]) == []


def test_a_service_may_keep_no_log_of_requests() -> None:
    assert _violations(GOOD, []) == []


def test_a_short_overlap_of_operations_need_not_be_met() -> None:
    fault = Operation("n1 killed", 7.9, 12.0, is_fault=True)
    ledger = balance(GOOD, (), split_into_phases(0.0, 12.0, [UPDATE, fault]), 3)

    assert [phase.name for phase in ledger.phases] == ["before", "update", "update + n1 killed", "n1 killed"]
    assert violations(ledger, Expectations(3, 0, 0, CLEAN)) == []


def test_a_fault_that_no_request_met() -> None:
    fault = Operation("n1 killed", 5.0, 6.0, is_fault=True)
    ledger = balance(GOOD, (), split_into_phases(0.0, 12.0, [fault]), 3)

    assert violations(ledger, Expectations(3, 0, 0, CLEAN)) == [
        "no request in phase 'n1 killed': the load was too short or too thin"
    ]


def test_a_load_that_was_too_thin() -> None:
    # Three requests within nine seconds.
    assert _violations(GOOD, rate=0.2) == []
    assert _violations(GOOD, rate=0.5) == ["only 0.222 requests a second were sent, at least 0.5 are needed"]
    assert (
        _violations(GOOD[:1], minimum=1, rate=0.5)[0]
        == "only 0.000 requests a second were sent, at least 0.5 are needed"
    )


def test_requests_that_were_never_sent_add_nothing_to_the_rate() -> None:
    assert "only 0.222 requests a second were sent, at least 0.3 are needed" in _violations(
        [*GOOD, *(record(n, "unsent", at=1.0) for n in range(4, 90))], rate=0.3
    )


def test_a_host_in_trouble() -> None:
    control = Control.of([record(1), record(2, "timed-out", seconds=5.0), record(3, "reset")])

    assert _violations(GOOD, control=control) == [
        "the control target on the same network failed 2 of 3 times (first: timed-out after 5.000 s): "
        "the host was in trouble, whatever the service did"
    ]
    assert str(control) == ("the control target on the same network answered 1 of 3 times, the slowest after 5.000 s")


def test_a_control_target_that_was_never_asked() -> None:
    assert _violations(GOOD, control=Control.of([])) == ["the control target on the same network was never asked"]


def _unproven(records: list[ClientRecord], log: Sequence[ServerEvent] = (), *, versions: int = 2) -> list[str]:
    ledger = balance(records, log, PHASES, len(records))
    return unproven(ledger, Expectations(0, versions, 0, CLEAN))


def test_what_a_service_cannot_show_is_said() -> None:
    nameless = [record(n, version=None) for n in range(3)]

    assert _unproven(nameless) == [
        "the service keeps no log of its requests: a request it finished twice would not be seen",
        "no answer names a version: that the old and the new one answered is not shown",
    ]
    assert _unproven(nameless, [finished(1)], versions=0) == []
    assert _unproven(GOOD, [finished(1)]) == []


def test_what_the_client_of_somebody_else_s_locust_file_hides_is_said() -> None:
    ledger = balance(GOOD, [], PHASES, len(GOOD))
    sentences = unproven(ledger, Expectations(0, True, 0, CLEAN, clients=("FastHttpUser", "HttpUser", "MqttUser")))

    assert [sentence.split(",")[0] for sentence in sentences] == [
        "FastHttpUser sends a request again",
        "HttpUser waits for ever unless the file gives it a timeout: a request that hangs is never counted",
        "what the client of MqttUser hides from Locust is not known",
        "the requests of the file carry no id: which task served them",
    ]


def test_a_run_that_is_not_valid_proves_nothing() -> None:
    ledger = balance(GOOD, [], PHASES, len(GOOD))
    assert verdict(ledger, []) == "0 of 3 lost: the true rate is below 3/3 at 95 %"
    assert verdict(ledger, ["too thin", "too short"]) == "nothing is proved: too thin; too short"
