"""Reasons why a run proves nothing. A run that breaks a guard is invalid, however few requests it lost. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pytest_swarm.hidden import hidden_by
from pytest_swarm.ledger import ANSWERED, UNSENT, ClientRecord, Ledger
from pytest_swarm.phases import AFTER, BEFORE, Operation, Phase

PAUSE_SECONDS = 1.0
"""A shorter pause between two operations may fall between two requests of a client that sends one after another."""


@dataclasses.dataclass(frozen=True)
class Control:
    """What the control target beside the load made of the same network at the same time. Times are seconds."""

    asked: int
    failed: int
    slowest: float
    first_failure: str = ""

    @classmethod
    def of(cls, records: Sequence[ClientRecord]) -> Control:
        failures = [record for record in records if record.request_class != ANSWERED]
        return cls(
            asked=len(records),
            failed=len(failures),
            slowest=max((record.seconds for record in records), default=0.0),
            first_failure=f"{failures[0].request_class} after {failures[0].seconds:.3f} s" if failures else "",
        )

    def __str__(self) -> str:
        return (
            f"the control target on the same network answered {self.asked - self.failed} of {self.asked} times, "
            f"the slowest after {self.slowest:.3f} s"
        )


@dataclasses.dataclass(frozen=True)
class Expectations:
    """What has to be true of a run before its losses may be judged.

    `versions` is how many have to have answered, none where the image was never changed; `in_flight` how many requests
     the generator left unfinished; `minimum_rate` is in requests a second; `log_problems` are why parts of the
    service's log could not be read; `clients` are those of a Locust file that is not ours.
    """

    minimum_sent: int
    versions: int
    in_flight: int
    control: Control
    minimum_rate: float = 0.0
    log_problems: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()


def violations(ledger: Ledger, expected: Expectations) -> list[str]:
    """Return one sentence for each broken guard; an empty list means that the run is valid."""
    found = []
    if expected.in_flight:
        found.append(f"{expected.in_flight} requests were still in flight when the load ended")
    if ledger.counts[UNSENT]:
        found.append(f"{ledger.counts[UNSENT]} of {ledger.requested} requests were never sent{_first_reason(ledger)}")
    if ledger.sent < expected.minimum_sent:
        found.append(f"only {ledger.sent} requests were sent, at least {expected.minimum_sent} are needed")
    if ledger.rate < expected.minimum_rate:
        found.append(
            f"only {ledger.rate:.3f} requests a second were sent, at least {expected.minimum_rate:g} are needed"
        )
    if 0 < len(ledger.versions) < expected.versions:
        found.append(f"{expected.versions} versions had to answer, seen: {', '.join(sorted(ledger.versions))}")
    found += _host_trouble(expected.control)
    found += _log_gaps(ledger, expected.log_problems)
    found += [f"no request in phase {name!r}: the load was too short or too thin" for name in _empty_phases(ledger)]
    return found


def verdict(ledger: Ledger, broken: Sequence[str]) -> str:
    """Say what the run proves: where guards are broken, why that is nothing."""
    return f"nothing is proved: {'; '.join(broken)}" if broken else ledger.verdict()


def unproven(ledger: Ledger, expected: Expectations) -> list[str]:
    """Return one sentence for each thing that this service cannot show, however the run went."""
    found = hidden_by(expected.clients) if expected.clients else []
    if ledger.answered and not ledger.is_logged and not expected.clients:
        found.append("the service keeps no log of its requests: a request it finished twice would not be seen")
    if expected.versions and ledger.answered and not ledger.versions:
        found.append("no answer names a version: that the old and the new one answered is not shown")
    return found


def _host_trouble(control: Control) -> list[str]:
    if not control.asked:
        return ["the control target on the same network was never asked"]
    if control.failed:
        return [
            f"the control target on the same network failed {control.failed} of {control.asked} times "
            f"(first: {control.first_failure}): the host was in trouble, whatever the service did"
        ]
    return []


def _first_reason(ledger: Ledger) -> str:
    reasons = [entry.record.detail for entry in ledger.entries if entry.request_class == UNSENT and entry.record.detail]
    return f" (first: {reasons[0]})" if reasons else ""


def _log_gaps(ledger: Ledger, problems: Sequence[str]) -> list[str]:
    """No duplicates are only proved by a log that tells of every answered request; a service may keep none."""
    reasons = f" ({'; '.join(problems)})" if problems else ""
    if ledger.is_logged and ledger.unlogged:
        return [f"{ledger.unlogged} of {ledger.answered} answered requests are missing from the service's log{reasons}"]
    if not ledger.is_logged and problems:
        return [f"the service's log could not be read{reasons}"]
    return []


def _empty_phases(ledger: Ledger) -> list[str]:
    edges = [phase for phase in ledger.phases if phase.name in (BEFORE, AFTER)]
    empty = [phase.name for phase in edges if not any(entry.phase is phase for entry in ledger.entries)]
    operations = dict.fromkeys(operation for phase in ledger.phases for operation in phase.operations)
    pauses = [
        phase
        for phase in ledger.phases
        if not phase.operations and phase not in edges and phase.finished - phase.started >= PAUSE_SECONDS
    ]
    spans: list[Operation | Phase] = [*operations, *pauses]
    # Requests of a second each overlap an operation of half a second without starting in it.
    empty += [
        span.name
        for span in spans
        if not any(
            entry.record.scheduled < span.finished and entry.record.finished > span.started for entry in ledger.entries
        )
    ]
    return empty
