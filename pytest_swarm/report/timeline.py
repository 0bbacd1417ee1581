"""A run as a picture, before anything draws it: bars in lanes, bands of what was done, and figures over time. Pure.

All times are seconds since the run's `origin`, the moment its first request was due.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pytest_swarm.ledger import ANSWERED, CLASSES, UNSENT, Entry, Ledger, nearest_rank
from pytest_swarm.phases import Operation

# Bins of the figures over time: the shortest of these that makes at most so many of them.
_BIN_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0)
_BINS_MAX = 60
# No lane is thinner than two rows or this part of all of them, so that each can bear its name.
_LANES_READABLE = 40

OPERATION, FAULT, PART = "operation", "fault", "part"

Span = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Bar:
    """One request, from its start to its end on the client, in one row of the lane of the task that had it."""

    entry: Entry
    started: float
    finished: float
    row: int


@dataclasses.dataclass(frozen=True)
class Lane:
    """The rows of one task: at least as many as it had requests at once. `node` is empty where no task is known."""

    node: str
    task: str
    first_row: int
    rows: int

    @property
    def middle(self) -> float:
        return self.first_row + (self.rows - 1) / 2


@dataclasses.dataclass(frozen=True)
class Band:
    """Something that went on beside the requests, of the kind OPERATION, FAULT or PART: the replacement of one slot."""

    name: str
    started: float
    finished: float
    row: int
    kind: str


@dataclasses.dataclass(frozen=True)
class Bin:
    """What ended within one span of time: how many requests a second, by class, and how long the answered ones took."""

    started: float
    seconds: float
    rates: Mapping[str, float]
    p50: float | None
    p99: float | None


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Everything one figure shows. `origin` is in seconds since the epoch; rows are counted from the top.

    `is_logged` says whether the service's log tells of any of the requests.
    """

    origin: float
    seconds: float
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...]
    bands: tuple[Band, ...]
    bins: tuple[Bin, ...]
    is_logged: bool

    @property
    def rows(self) -> int:
        return max((lane.first_row + lane.rows for lane in self.lanes), default=0)


def draw_up(ledger: Ledger, operations: Sequence[Operation]) -> Timeline:
    """Lay out a run: the ledger's requests, and the operations as far as they fall into it."""
    records = [entry.record for entry in ledger.entries]
    origin = min((record.scheduled for record in records), default=0.0)
    seconds = max((record.finished for record in records), default=origin) - origin
    lanes, bars = _lay_out(ledger, origin)
    bands = _bands(operations, origin, seconds)
    return Timeline(origin, seconds, lanes, bars, bands, _bins(bars, seconds), ledger.is_logged)


def pack(spans: Sequence[Span]) -> list[int]:
    """Give each span the lowest row that is free during it, so that no two overlap; returned in the given order."""
    rows = [0] * len(spans)
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    for index in sorted(range(len(spans)), key=lambda each: spans[each]):
        started, finished = spans[index]
        while busy and busy[0][0] <= started:
            heapq.heappush(free, heapq.heappop(busy)[1])
        rows[index] = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (finished, rows[index]))
    return rows


def _lay_out(ledger: Ledger, origin: float) -> tuple[tuple[Lane, ...], tuple[Bar, ...]]:
    is_logged = ledger.is_logged
    members: dict[tuple[str, str], list[tuple[Entry, Span]]] = defaultdict(list)
    for entry in ledger.entries:
        members[_lane_of(entry, is_logged)].append((entry, _span(entry, origin)))
    # The tasks node by node as they came, then those requests of which no node is known.
    order = sorted(members, key=lambda lane: (not lane[0], lane[0], min(span for _, span in members[lane]), lane[1]))
    rows = {lane: pack([span for _, span in members[lane]]) for lane in order}
    least = max(2, sum(max(each) + 1 for each in rows.values()) // _LANES_READABLE)
    lanes: list[Lane] = []
    bars: list[Bar] = []
    first_row = 0
    for node, task in order:
        lane = Lane(node, task, first_row, max(least, max(rows[node, task]) + 1))
        bars += [
            Bar(entry, *span, first_row + row)
            for (entry, span), row in zip(members[node, task], rows[node, task], strict=True)
        ]
        lanes.append(lane)
        first_row += lane.rows
    return tuple(lanes), tuple(bars)


def _lane_of(entry: Entry, is_logged: bool) -> tuple[str, str]:
    """Name node and task that had a request first: by the service's log, by its answer, or say that none is known."""
    events = entry.received or entry.finished
    if events:
        return events[0].node, events[0].task
    if entry.request_class == UNSENT:
        return "", "never sent"
    if entry.record.task:
        return "", entry.record.task
    host = entry.record.target.rpartition(":")[0] or entry.record.target
    return "", f"{'no task' if is_logged else 'task unknown'}, {host}"


def _span(entry: Entry, origin: float) -> Span:
    finished = entry.record.finished - origin
    return finished - entry.record.seconds, finished


def _bands(operations: Sequence[Operation], origin: float, seconds: float) -> tuple[Band, ...]:
    within = [
        (each, span) for each in operations if (span := _clip(each.started - origin, each.finished - origin, seconds))
    ]
    wholes = [(each.name, span, FAULT if each.is_fault else OPERATION) for each, span in within]
    rows = pack([span for _, span in within])
    parts = [
        (part.slot, span, PART)
        for each, _ in within
        for part in each.replacements
        if (span := _clip(part.started - origin, part.finished - origin, seconds))
    ]
    first_row = max(rows, default=-1) + 1
    rows += [first_row + row for row in pack([span for _, span, _ in parts])]
    return tuple(Band(name, *span, row, kind) for (name, span, kind), row in zip([*wholes, *parts], rows, strict=True))


def _clip(started: float, finished: float, seconds: float) -> Span | None:
    """Cut a span to the run, which it may outlast; None when it lies outside."""
    span = max(started, 0.0), min(finished, seconds)
    return span if span[0] < span[1] else None


def _bins(bars: Iterable[Bar], seconds: float) -> tuple[Bin, ...]:
    width = next((each for each in _BIN_SECONDS if seconds <= each * _BINS_MAX), _BIN_SECONDS[-1])
    count = max(1, math.ceil(seconds / width))
    ended: list[list[Bar]] = [[] for _ in range(count)]
    for bar in bars:
        if bar.entry.request_class != UNSENT:
            # The very last request ends where the last bin does.
            ended[min(int(bar.finished / width), count - 1)].append(bar)
    return tuple(_bin(number * width, width, members) for number, members in enumerate(ended))


def _bin(started: float, width: float, bars: Sequence[Bar]) -> Bin:
    counts = Counter(bar.entry.request_class for bar in bars)
    answers = sorted(bar.entry.record.seconds for bar in bars if bar.entry.request_class == ANSWERED)
    return Bin(
        started,
        width,
        {name: counts[name] / width for name in CLASSES if counts[name]},
        nearest_rank(answers, 50),
        nearest_rank(answers, 99),
    )
