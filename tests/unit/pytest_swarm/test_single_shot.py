"""Both loads count every kind of loss once and send nothing twice: proved through a real Locust process."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_swarm.ledger import balance
from pytest_swarm.phases import split_into_phases
from tests.unit.pytest_swarm.locust_runs import records_in, run_closed, run_open
from tests.unit.pytest_swarm.scripted_server import CLASS_OF, refusing_port, scripted_server, take_turns
from workloads.locustfiles.control_target import Responder

ACTIONS = tuple(CLASS_OF)
REQUESTS = 6 * len(ACTIONS)


@contextlib.contextmanager
def control_target() -> Iterator[int]:
    """The control target itself, on a port of its own."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Responder) as responder:
        threading.Thread(target=responder.serve_forever, daemon=True).start()
        yield responder.server_address[1]
        responder.shutdown()


@pytest.mark.parametrize("mode", [(), ("--keep-alive",), ("--method", "POST")], ids=["fresh", "keep-alive", "post"])
def test_every_fate_is_counted_once_and_nothing_is_sent_twice(tmp_path: Path, mode: tuple[str, ...]) -> None:
    script = take_turns(ACTIONS)
    with scripted_server(script) as server:
        targets = f"127.0.0.1:{server.port}"
        records = run_closed(tmp_path, "--requests", str(REQUESTS), "--targets", targets, *mode)

    assert {record.request_id: record.request_class for record in records} == {
        record.request_id: CLASS_OF[script(record.request_id)] for record in records
    }
    ledger = balance(records, [], split_into_phases(0, 1, []), REQUESTS)
    assert ledger.sent == REQUESTS
    assert server.seen == Counter(record.request_id for record in records)


@pytest.mark.parametrize("mode", [(), ("--keep-alive",)], ids=["fresh", "keep-alive"])
def test_an_open_load_counts_the_same(tmp_path: Path, mode: tuple[str, ...]) -> None:
    script = take_turns(ACTIONS)
    with scripted_server(script) as server:
        targets = f"127.0.0.1:{server.port}"
        patient = ("--rate", "30", "--late-after", "5")
        records = run_open(tmp_path, "--requests", str(REQUESTS), "--targets", targets, *patient, *mode)

    assert {record.request_id: record.request_class for record in records} == {
        record.request_id: CLASS_OF[script(record.request_id)] for record in records
    }
    assert balance(records, [], split_into_phases(0, 1, []), REQUESTS).sent == REQUESTS
    assert server.seen == Counter(record.request_id for record in records)


@pytest.mark.soak
def test_an_open_load_keeps_its_schedule_while_nothing_is_answered(tmp_path: Path) -> None:
    with scripted_server(lambda _: "hang") as server:
        arguments = ("--requests", "40", "--rate", "40", "--late-after", "5", "--read-timeout", "6")
        records = run_open(tmp_path, "--targets", f"127.0.0.1:{server.port}", *arguments)

    due = sorted(record.scheduled for record in records)
    assert [round(later - due[0], 3) for later in due] == [round(n / 40, 3) for n in range(40)]
    # All were sent while none of them had ended.
    assert server.seen.total() == 40
    assert min(record.finished for record in records) > due[-1]


def test_what_comes_too_late_is_never_sent(tmp_path: Path) -> None:
    with scripted_server(lambda _: "ok") as server:
        targets = f"127.0.0.1:{server.port}"
        # Due all at once, and no machine sends two within a millionth of a second.
        records = run_open(
            tmp_path, "--requests", "300", "--targets", targets, "--rate", "1000000000", "--late-after", "0.000001"
        )

    classes = Counter(record.request_class for record in records)
    assert classes.keys() <= {"answered", "unsent"}
    assert classes["unsent"] > 0
    assert server.seen.total() == classes["answered"]
    unsent = next(record for record in records if record.request_class == "unsent")
    assert (unsent.detail or "").startswith("not sent: its turn")


def test_the_kind_of_a_loss_depends_on_its_connection(tmp_path: Path) -> None:
    script = take_turns(["ok", "ok", "reset", "reset", "ok", "close", "close", "reset-in-body", "short-body"])
    with scripted_server(script) as server:
        targets = f"127.0.0.1:{server.port}"
        records = run_closed(tmp_path, "-u", "1", "--keep-alive", "--requests", "9", "--targets", targets)

    ledger = balance(records, [], split_into_phases(0, 1, []), 9)
    assert [entry.kind for entry in ledger.entries] == [
        "answered",
        "reset-reused",
        "reset-fresh",
        "answered",
        "closed-early-reused",
        "closed-early-fresh",
        "reset-mid-body",
        "truncated-body",
        "answered",
    ]
    assert [record.nth_on_connection for record in records] == [1, 2, 1, 1, 2, 1, 1, 1, 1]


def test_refused_requests_are_counted(tmp_path: Path) -> None:
    with refusing_port() as port:
        records = run_closed(tmp_path, "--requests", "20", "--targets", f"127.0.0.1:{port}")

    assert Counter(record.request_class for record in records) == {"refused": 20}


def test_what_the_deadline_leaves_over_is_unsent(tmp_path: Path) -> None:
    with scripted_server(lambda _: "hang") as server:
        targets = f"127.0.0.1:{server.port}"
        records = run_closed(tmp_path, "--requests", "500", "--targets", targets, "--deadline", "1")

    classes = Counter(record.request_class for record in records)
    assert classes.keys() == {"timed-out", "unsent"}
    assert classes.total() == 500
    assert server.seen.total() == classes["timed-out"]


def test_the_control_target_is_asked_beside_the_load(tmp_path: Path) -> None:
    with scripted_server(lambda _: "ok") as server, control_target() as control:
        targets = ("--targets", f"127.0.0.1:{server.port}", "--control", f"127.0.0.1:{control}")
        run_open(tmp_path, "--requests", "20", "--rate", "10", "--late-after", "5", *targets)

    asked = records_in(tmp_path / "control.jsonl")
    assert len(asked) >= 4
    assert {(record.request_class, record.version) for record in asked} == {("answered", None)}
    assert server.seen.total() == 20


def test_a_control_target_that_hangs_is_on_record(tmp_path: Path) -> None:
    with scripted_server(lambda identity: "hang" if identity == "control-000002" else "ok") as server:
        target = f"127.0.0.1:{server.port}"
        run_open(tmp_path, "--requests", "20", "--rate", "10", "--targets", target, "--control", target)

    asked = records_in(tmp_path / "control.jsonl")
    assert [record.request_class for record in asked[:3]] == ["answered", "timed-out", "answered"]


def test_source_ports_are_reused_at_once(tmp_path: Path) -> None:
    with scripted_server(lambda _: "ok") as server:
        targets = f"127.0.0.1:{server.port}"
        records = run_closed(tmp_path, "--requests", "200", "--targets", targets, "--first-source-port", "21000")

    assert Counter(record.request_class for record in records) == {"answered": 200}
    # On a busy machine the first users may have sent all 200 before the last one starts.
    assert {record.local_port for record in records} <= {21000, 21001, 21002, 21003}


def test_locust_counts_what_we_count(tmp_path: Path) -> None:
    with scripted_server(take_turns(["ok", "reset"])) as server:
        run_closed(tmp_path, "--requests", "40", "--targets", f"127.0.0.1:{server.port}")

    aggregated = (tmp_path / "locust_stats.csv").read_text().splitlines()[-1].split(",")
    assert aggregated[2:4] == ["40", "20"]
