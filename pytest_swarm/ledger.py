"""The books of a run: what became of every single request, seen from both ends. Pure.

Each request has one class. The client's word decides it, with two exceptions: an answer that does not name its version
is an http-error when others do (it came from somebody else), and a request the service finished twice is a duplicate
whatever the client saw. Counts are integers; nothing here is ever rounded into a percentage.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_swarm.kinds import kind_of
from pytest_swarm.phases import Phase, phase_at, slots_replaced_at

ANSWERED = "answered"
HTTP_ERROR = "http-error"
DUPLICATE = "duplicate"
UNSENT = "unsent"
LOST_CLASSES = (HTTP_ERROR, "refused", "reset", "closed-early", "truncated", "timed-out")
CLASSES = (ANSWERED, *LOST_CLASSES, DUPLICATE, UNSENT)


# How long a line of the service's log may be on its way from the task to us, on a busy machine.
_LOG_LAG_SECONDS = 2.0

# The two events of the service's log.
RECEIVED = "received"
FINISHED = "finished"


class LedgerError(Exception):
    """The books do not balance: records are missing, doubled or of an unknown class."""


@dataclasses.dataclass(frozen=True)
class ClientRecord:
    """The client's account of one request. Times are seconds since the epoch, durations seconds."""

    request_id: str
    request_class: str
    scheduled: float
    finished: float
    seconds: float
    stage: str
    target: str
    version: str | None
    task: str | None
    connection: str | None
    reused: bool | None
    connection_age: float
    local_port: int | None
    detail: str | None
    status: int | None = None
    error: str | None = None
    nth_on_connection: int = 0

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> ClientRecord:
        """Read one decoded line of `requests.jsonl`."""
        return cls(
            request_id=line["request_id"],
            request_class=line["request_class"],
            scheduled=line["scheduled"],
            finished=line["finished"],
            seconds=line["finished_monotonic"] - line["started_monotonic"],
            stage=line["stage"],
            target=line["target"],
            version=line["version"],
            task=line["task"],
            connection=line["connection"],
            reused=line["reused"],
            connection_age=line["connection_age"],
            local_port=line["local_port"],
            detail=line["detail"],
            status=line["status"],
            error=line["error"],
            nth_on_connection=line["nth_on_connection"],
        )


@dataclasses.dataclass(frozen=True)
class ServerEvent:
    """One line of the service's own log: a request `received` or `finished` by a task on a node."""

    event: str
    request_id: str
    time: float
    task: str
    node: str
    version: str | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One request, joined: what the client saw, and where and how far the service got with it."""

    record: ClientRecord
    request_class: str
    phase: Phase
    ended_in: Phase
    received: tuple[ServerEvent, ...]
    finished: tuple[ServerEvent, ...]
    is_logged: bool = True
    """Whether the service's log tells of any request of the run: if not, its silence about this one says nothing."""

    @property
    def is_lost(self) -> bool:
        return self.request_class in LOST_CLASSES

    @property
    def kind(self) -> str:
        """How exactly it got lost, a finer name within its class; without losses, the class."""
        if not self.is_lost:
            return self.request_class
        # The ledger may have judged the client's "answered" differently.
        judged = dataclasses.replace(self.record, request_class=self.request_class)
        return kind_of(judged, was_finished=bool(self.finished))

    def story(self) -> str:
        """Tell in one line what happened to this request."""
        record = self.record
        slots = slots_replaced_at(self.ended_in, record.finished)
        where = self.ended_in.name + (f" (while replacing {', '.join(slots)})" if slots else "")
        return (
            f"{record.request_id}: {self.kind} after {record.seconds:.3f} s in phase {where}, "
            f"to {record.target} {self._connection()}; {self._server_side()}; {record.detail or 'no detail'}"
        )

    def _connection(self) -> str:
        record = self.record
        if record.reused is None:
            return "on a connection its client does not tell of"
        if record.connection is None:
            return "without a connection"
        if not record.reused:
            return "on a fresh connection"
        return f"as request {record.nth_on_connection} on a connection {record.connection_age:.3f} s old"

    def _server_side(self) -> str:
        if self.finished:
            return "the service had finished it on " + _places(self.finished)
        if self.received:
            return "the service had received but not finished it on " + _places(self.received)
        return "the service never received it" if self.is_logged else "the service's log does not tell of requests"


@dataclasses.dataclass(frozen=True)
class TaskCounts:
    """How many of the run's requests one task received and finished, by the service's own log."""

    task: str
    node: str
    version: str | None
    received: int
    finished: int


@dataclasses.dataclass(frozen=True)
class Ledger:
    """All requests of a run. `requested` is what was asked for; `sent` is what left the client."""

    entries: tuple[Entry, ...]
    phases: tuple[Phase, ...]
    requested: int
    counts: Mapping[str, int]

    @property
    def sent(self) -> int:
        return self.requested - self.counts[UNSENT]

    @property
    def answered(self) -> int:
        return self.counts[ANSWERED]

    @property
    def duplicates(self) -> int:
        return self.counts[DUPLICATE]

    @property
    def lost(self) -> int:
        return sum(self.counts[name] for name in LOST_CLASSES)

    @property
    def is_logged(self) -> bool:
        """Whether the service's log tells of any of these requests."""
        return any(entry.received or entry.finished for entry in self.entries)

    @property
    def unlogged(self) -> int:
        """How many answered requests the service did not finish by its log: each may hide a duplicate.

        Not counted are those answered around the death of a node: the last lines of its log may have died with it.
        """
        deaths = {each.started for phase in self.phases for each in phase.operations if each.killed}
        return sum(
            not entry.finished and not any(abs(entry.record.finished - death) < _LOG_LAG_SECONDS for death in deaths)
            for entry in self._good()
        )

    @property
    def losses(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.is_lost)

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many requests got lost in which way, by name; they add up to `lost`."""
        return dict(sorted(Counter(entry.kind for entry in self.losses).items()))

    @property
    def tasks(self) -> tuple[TaskCounts, ...]:
        """What each task did, in the order of their names; none where the service keeps no log of its requests."""
        received = Counter(_maker(event) for entry in self.entries for event in entry.received)
        finished = Counter(_maker(event) for entry in self.entries for event in entry.finished)
        return tuple(
            TaskCounts(*maker, received=received[maker], finished=finished[maker])
            for maker in sorted({*received, *finished}, key=str)
        )

    @property
    def versions(self) -> set[str]:
        """The versions that answered, as the service names them in its `X-Version` header."""
        return {entry.record.version for entry in self._good() if entry.record.version is not None}

    @property
    def longest_gap(self) -> float:
        """The longest time in seconds without an answer, counted from the first request to the last answer."""
        if not self.entries:
            return 0.0
        moments = [min(entry.record.scheduled for entry in self.entries)]
        moments += sorted(entry.record.finished for entry in self._good())
        moments.append(max(entry.record.finished for entry in self.entries))
        return max(later - earlier for earlier, later in itertools.pairwise(moments))

    @property
    def operations_seconds(self) -> float:
        """For how long any operation went on during the run, faults aside: two at once count once."""
        return sum(
            phase.finished - phase.started
            for phase in self.phases
            if any(not operation.is_fault for operation in phase.operations)
        )

    @property
    def rate(self) -> float:
        """How many requests were sent a second, between the first that was due and the last; one alone counts as 0."""
        due = [entry.record.scheduled for entry in self.entries if entry.request_class != UNSENT]
        span = max(due) - min(due) if due else 0.0
        return (len(due) - 1) / span if span else 0.0

    @property
    def seconds_with_loss(self) -> int:
        """In how many whole seconds, counted from the first request, a request that got lost was due."""
        if not self.entries:
            return 0
        started = min(entry.record.scheduled for entry in self.entries)
        return len({int(entry.record.scheduled - started) for entry in self.losses})

    def percentile(self, percent: float) -> float | None:
        """Return the nearest-rank percentile of the answered requests' seconds; None when none was answered."""
        return nearest_rank(sorted(entry.record.seconds for entry in self._good()), percent)

    def sum_line(self) -> str:
        """Print the balance: what was sent is the sum of the classes."""
        parts = " + ".join(f"{self.counts[name]} {name}" for name in CLASSES if name != UNSENT)
        return f"sent {self.sent} = {parts}; unsent {self.counts[UNSENT]} of {self.requested} requested"

    def verdict(self) -> str:
        """Say how many were lost, and for a zero what that zero proves."""
        if not self.sent:
            return "nothing was sent, so nothing is proved"
        if self.lost:
            return f"{self.lost} of {self.sent} lost"
        return f"0 of {self.sent} lost: the true rate is below {rate_bound(self.sent)} at 95 %"

    def _good(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.request_class == ANSWERED)


def rate_bound(sent: int) -> str:
    """What no loss in so many requests proves of their true rate at 95 %: the rule of three."""
    return f"3/{sent}"


def nearest_rank(ascending: Sequence[float], percent: float) -> float | None:
    """Return the nearest-rank percentile of values in ascending order; None when there are none."""
    return ascending[max(0, math.ceil(percent / 100 * len(ascending)) - 1)] if ascending else None


def balance(
    records: Sequence[ClientRecord],
    events: Iterable[ServerEvent],
    phases: Sequence[Phase],
    requested: int,
) -> Ledger:
    """Join both sides. Raises LedgerError unless every requested number has exactly one record."""
    received, finished = _by_request(events)
    is_logged = any(record.request_id in received or record.request_id in finished for record in records)
    entries = tuple(
        _entry(record, received.get(record.request_id, ()), finished.get(record.request_id, ()), phases, is_logged)
        for record in sorted(_judge_versions(records), key=lambda each: each.request_id)
    )
    counts = Counter(entry.request_class for entry in entries)
    _check_balance(entries, counts, requested)
    return Ledger(entries, tuple(phases), requested, {name: counts[name] for name in CLASSES})


def _judge_versions(records: Sequence[ClientRecord]) -> Iterable[ClientRecord]:
    """Let an answer without a version count only where the service never names one."""
    names_versions = any(record.version is not None for record in records)
    for record in records:
        if names_versions and record.request_class == ANSWERED and record.version is None:
            yield dataclasses.replace(record, request_class=HTTP_ERROR, detail="the answer names no version")
        else:
            yield record


def _entry(
    record: ClientRecord,
    received: Sequence[ServerEvent],
    finished: Sequence[ServerEvent],
    phases: Sequence[Phase],
    is_logged: bool,
) -> Entry:
    return Entry(
        record=record,
        # What the client lost stays lost, however often the service has done it.
        request_class=DUPLICATE if record.request_class == ANSWERED and len(finished) > 1 else record.request_class,
        phase=phase_at(phases, record.scheduled),
        ended_in=phase_at(phases, record.finished),
        received=tuple(received),
        finished=tuple(finished),
        is_logged=is_logged,
    )


def _by_request(
    events: Iterable[ServerEvent],
) -> tuple[Mapping[str, list[ServerEvent]], Mapping[str, list[ServerEvent]]]:
    # The same log line can be read twice, live and in the last sweep: equal events are one event.
    unique = sorted(set(events), key=lambda each: (each.time, each.task, each.event))
    by_kind: dict[str, dict[str, list[ServerEvent]]] = defaultdict(lambda: defaultdict(list))
    for event in unique:
        by_kind[event.event][event.request_id].append(event)
    return by_kind[RECEIVED], by_kind[FINISHED]


def _check_balance(entries: Sequence[Entry], counts: Counter[str], requested: int) -> None:
    unknown = sorted(set(counts) - set(CLASSES))
    if unknown:
        raise LedgerError(f"records of unknown class: {', '.join(unknown)}")
    doubled = [key for key, n in Counter(entry.record.request_id for entry in entries).items() if n > 1]
    if doubled:
        raise LedgerError(f"{len(doubled)} requests have more than one record, first {min(doubled)}")
    if counts.total() != requested:
        raise LedgerError(f"{requested} requests were asked for, but {counts.total()} are on record")


def _maker(event: ServerEvent) -> tuple[str, str, str | None]:
    return event.task, event.node, event.version


def _places(events: Sequence[ServerEvent]) -> str:
    return " and ".join(f"task {event.task} at node {event.node}" for event in events)
