"""What counts as stale, wrong and a gap."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_swarm import dns_probe
from pytest_swarm.dns_ledger import Life, Sample, Serving, Span, balance, read_samples

OLD, NEW = "10.0.1.5", "10.0.1.6"
LIVES = (Life(OLD, "web.1.old", 0.0, stopped=100.0), Life(NEW, "web.1.new", 90.0))


def sample(at: float, *addresses: str, code: int = 0, ttl: int = 1, watcher: str = "n1") -> Sample:
    return Sample(watcher, at, at + 0.01, code, ttl, addresses)


def test_right_answers_have_no_faults() -> None:
    ledger = balance([sample(80, OLD), sample(95, OLD, NEW), sample(98.9, NEW), sample(200, NEW)], LIVES)
    assert (ledger.samples, ledger.changes, ledger.faults) == (4, 2, ())
    assert (ledger.stale_seconds, ledger.wrong_answers) == (0.0, 0)


def test_an_answer_is_stale_while_it_may_be_used_after_the_stop() -> None:
    ledger = balance([sample(99.5, OLD, NEW)], LIVES)
    assert ledger.stale_answers == 1
    assert ledger.stale_seconds == pytest.approx(0.51)
    assert "web.1.old stopped at 100.000" in ledger.explain()


def test_overlapping_stale_answers_count_once_per_watcher() -> None:
    answers = [sample(100, OLD), sample(100.5, OLD), sample(100.2, OLD, watcher="n2")]
    assert balance(answers, LIVES).stale_seconds == pytest.approx(1.51 + 1.01)


def test_a_watchers_own_figures_are_beside_those_of_all() -> None:
    ledger = balance([sample(99.5, OLD), sample(80, OLD, watcher="n2")], LIVES)
    assert {name: own.stale_answers for name, own in ledger.by_watcher.items()} == {"n1": 1, "n2": 0}
    assert ledger.explain().splitlines()[1:3] == [
        f"  {name}: {own.summary}" for name, own in sorted(ledger.by_watcher.items())
    ]


def test_a_warning_is_from_the_last_answer_that_named_a_container_to_its_end() -> None:
    answers = [sample(80, OLD), sample(95, OLD), sample(99, NEW), sample(90, OLD, watcher="n2")]
    assert balance(answers, LIVES).shortest_warning == pytest.approx(4.99)
    late = balance([*answers, sample(100.2, OLD)], LIVES)
    assert late.shortest_warning == pytest.approx(-0.21)
    assert "named until -0.210 s before a container's end" in late.summary
    # From then on it is another container's.
    reused = balance([*answers, sample(130, OLD)], (*LIVES, Life(OLD, "web.2.next", 120.0)))
    assert reused.shortest_warning == pytest.approx(4.99)
    assert balance([sample(95, NEW)], LIVES).shortest_warning is None


def test_the_last_change_is_when_the_last_watcher_was_told() -> None:
    answers = [sample(80, OLD), sample(95, NEW), sample(96, NEW), sample(81, OLD, watcher="n2")]
    ledger = balance([*answers, sample(97, OLD, NEW, watcher="n2")], LIVES)
    assert ledger.changes == 2
    assert ledger.last_change == pytest.approx(97.01)
    assert balance([sample(80, OLD)], LIVES).last_change is None


def test_an_address_given_to_another_container_is_not_stale() -> None:
    reused = (*LIVES, Life(OLD, "web.2.next", 100.2))
    assert balance([sample(101, OLD)], reused).stale_answers == 0
    # But it was until then, while it was nobody's.
    assert balance([sample(99.5, OLD)], reused).stale_seconds == pytest.approx(0.2)


def test_an_address_of_nobody_or_nobody_yet_is_wrong() -> None:
    ledger = balance([sample(50, "10.0.1.99"), sample(51, NEW)], LIVES)
    assert ledger.wrong_answers == 2
    assert [fault.story for fault in ledger.faults] == ["is nobody's", "was nobody's yet"]


def test_a_gap_lasts_until_the_next_useful_answer() -> None:
    answers = [sample(1, NEW), sample(2, code=3), sample(2.5), sample(3, NEW), sample(4, code=-1)]
    ledger = balance(answers, (Life(NEW, "web.1.new", 0.0),))
    assert ledger.gaps == 2
    assert ledger.longest_gap == pytest.approx(1.01)


def test_a_watcher_that_falls_silent_has_a_gap() -> None:
    lives = (Life(NEW, "web.1.new", 0.0),)
    ledger = balance([sample(1, NEW), sample(60, NEW)], lives)
    assert ledger.gaps == 1
    assert ledger.longest_gap == pytest.approx(59.0)
    span = Span(("n1", "n2", "n3"), 1.0, 61.0)
    answers = [sample(at, NEW, watcher="n1") for at in range(1, 61)] + [sample(2, NEW, watcher="n2")]
    ledger = balance(answers, lives, span=span)
    # n2 ended at 2 s, and n3 never asked.
    assert ledger.gaps == 2
    assert ledger.longest_gap == pytest.approx(60.0)


def test_an_answer_without_a_task_that_was_named_before_and_after_is_incomplete() -> None:
    answers = [sample(92, NEW), sample(95, NEW, OLD), sample(96, OLD), sample(97, NEW), sample(120, NEW)]
    ledger = balance(answers, LIVES)
    # Before OLD was named, and once it was named no more, it may have had its reasons.
    assert [str(fault) for fault in ledger.faults] == [
        "n1 at 96.000: 10.0.1.6 is missing, but web.1.new was named before and after"
    ]
    assert ledger.incomplete_answers == 1


def test_the_last_answer_of_each_watcher_names_all_that_serves() -> None:
    serving = (Serving(NEW, "web.1.new", 90.0), Serving("10.0.1.7", "web.2.late", 199.5))
    answers = [sample(200, NEW), sample(200, OLD, watcher="n2")]
    ledger = balance(answers, (*LIVES, Life(OLD, "web.3.x", 101.0)), serving)
    assert [str(fault) for fault in ledger.faults] == [
        "n2 at 200.000: 10.0.1.6 is missing at the end, but web.1.new serves"
    ]


def test_what_the_probe_prints_is_read() -> None:
    text = "1.5 1.6 0 1 10.0.1.5,10.0.1.6\n2.5 2.6 3 0 \n3.5 3."
    assert read_samples("n1", text) == (Sample("n1", 1.5, 1.6, 0, 1, (OLD, NEW)), Sample("n1", 2.5, 2.6, 3, 0, ()))


def test_the_probe_speaks_dns() -> None:
    import dns.message

    query = dns.message.from_wire(dns_probe.question(7, "tasks.web"))
    assert query.question[0].to_text() == "tasks.web. IN A"
    reply = dns.message.make_response(query)
    reply.answer.append(dns.rrset.from_text("tasks.web.", 1, "IN", "A", OLD, NEW))
    code, ttl, addresses = dns_probe.read(reply.to_wire())
    assert (code, ttl, sorted(addresses)) == (0, 1, [OLD, NEW])


def test_the_probe_asks_again_over_tcp_for_what_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.flags
    import dns.message

    many = [f"10.0.1.{number}" for number in range(2, 102)]

    def serve(datagrams: socket.socket, streams: socket.socket) -> None:
        data, asker = datagrams.recvfrom(4096)
        short = dns.message.make_response(dns.message.from_wire(data))
        short.flags |= dns.flags.TC
        datagrams.sendto(short.to_wire(), asker)
        with streams.accept()[0] as stream:
            whole = dns.message.make_response(dns.message.from_wire(stream.recv(4096)[2:]))
            whole.answer.append(dns.rrset.from_text("tasks.web.", 1, "IN", "A", *many))
            stream.sendall(whole.to_wire(prepend_length=True))

    with socket.create_server(("127.0.0.1", 0)) as streams, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(streams.getsockname())
        for server in (datagrams, streams):
            server.settimeout(10)
        monkeypatch.setattr(dns_probe, "PORT", streams.getsockname()[1])
        with ThreadPoolExecutor(1) as pool:
            serving = pool.submit(serve, datagrams, streams)
            code, _, addresses = dns_probe.ask("127.0.0.1", 7, "tasks.web")
            serving.result()
    assert (code, sorted(addresses)) == (0, sorted(many))
