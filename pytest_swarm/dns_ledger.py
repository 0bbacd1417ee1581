"""What answers over time prove, joined with when each task's container lived. Pure.

An answer may be used until its TTL is over. It is *stale* for as long as it then still names a container that has
stopped. It is *wrong* when it names an address that was never a container's on the network, or was not yet, and
*incomplete* when it lacks one that the same watcher was told before and after, or, the last one, one that serves. A
*gap* is a span without a useful answer, be it that the questions had none or that a watcher asked none.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

SILENT_SECONDS = 2.0
"""From one answer to the next question: a watcher asks twenty times a second, and a busy machine may hold it up."""
KNOWN_SECONDS = 1.0
"""After this time every node is to have heard of what serves."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One question of a watcher and its answer. Times are seconds since the epoch, by a clock all nodes share."""

    watcher: str
    asked: float
    answered: float
    code: int
    """0 = no error, 3 = no such name, -1 = no answer."""
    ttl: int
    addresses: tuple[str, ...]

    @property
    def is_useful(self) -> bool:
        """Whether a client could go on with the answer."""
        return self.code == 0 and bool(self.addresses)


@dataclasses.dataclass(frozen=True)
class Life:
    """When an address was a running container's. `stopped` is None while it still is."""

    address: str
    owner: str
    started: float
    stopped: float | None = None

    def covers(self, sample: Sample) -> bool:
        """Whether the container ran from the question to the answer."""
        return self.started <= sample.asked and (self.stopped is None or sample.answered < self.stopped)


@dataclasses.dataclass(frozen=True)
class Serving:
    """An address that the name means when the watch ends, and since when, in seconds since the epoch."""

    address: str
    owner: str
    since: float


@dataclasses.dataclass(frozen=True)
class Span:
    """The time of a watch, and who was to ask all the while. An `ended` of None is the last answer of each."""

    watchers: tuple[str, ...] = ()
    began: float = 0.0
    ended: float | None = None


@dataclasses.dataclass(frozen=True)
class Fault:
    """An answer that was stale, wrong or incomplete, as a line of an explanation."""

    sample: Sample
    address: str
    story: str

    def __str__(self) -> str:
        return f"{self.sample.watcher} at {self.sample.asked:.3f}: {self.address} {self.story}"


@dataclasses.dataclass(frozen=True)
class DnsLedger:
    """The figures of one watch. Seconds are summed over the watchers."""

    samples: int
    stale_seconds: float
    stale_answers: int
    wrong_answers: int
    incomplete_answers: int
    gaps: int
    longest_gap: float
    changes: int
    """How often the set of addresses changed, over all watchers: a watch that saw no change proves nothing."""
    last_change: float | None
    """When the last watcher was first told what it was told to the end, in seconds since the epoch."""
    shortest_warning: float | None
    """The least time, in seconds, from the last answer that named a container to its end; negative if that came first.

    None when no container that was named has ended.
    """
    faults: tuple[Fault, ...]
    by_watcher: Mapping[str, DnsLedger] = dataclasses.field(default_factory=dict)
    """The same figures of each; empty in a watcher's own."""

    def explain(self, most: int = 20) -> str:
        """Tell the figures, in all and of each watcher, and the first faults one by one."""
        watchers = (f"  {name}: {ledger.summary}" for name, ledger in sorted(self.by_watcher.items()))
        return "\n".join([self.summary, *watchers, *(str(fault) for fault in self.faults[:most])])

    @property
    def summary(self) -> str:
        """The figures in a line."""
        return (
            f"{self.samples} answers, {self.stale_answers} stale for {self.stale_seconds:.3f} s, "
            f"{self.wrong_answers} wrong, {self.incomplete_answers} incomplete, "
            f"{self.gaps} gaps (longest {self.longest_gap:.3f} s), {self.changes} changes, {self._warning}"
        )

    @property
    def _warning(self) -> str:
        if self.shortest_warning is None:
            return "no container ended"
        return f"named until {self.shortest_warning:.3f} s before a container's end"


def read_samples(watcher: str, text: str) -> tuple[Sample, ...]:
    """The samples a probe printed; a last line that is cut off is left out."""
    return tuple(_samples(watcher, text))


def balance(
    samples: Iterable[Sample], lives: Iterable[Life], serving: Iterable[Serving] = (), span: Span = Span()
) -> DnsLedger:
    """Join answers and lives, and the last answers with what serves."""
    by_watcher: dict[str, list[Sample]] = {watcher: [] for watcher in span.watchers}
    for sample in sorted(samples, key=lambda sample: sample.asked):
        by_watcher.setdefault(sample.watcher, []).append(sample)
    by_address: dict[str, list[Life]] = {}
    for life in lives:
        by_address.setdefault(life.address, []).append(life)
    expected = tuple(serving)
    return _sum({watcher: _balance(group, by_address, expected, span) for watcher, group in by_watcher.items()})


def _balance(
    samples: Sequence[Sample], lives: Mapping[str, Sequence[Life]], serving: Sequence[Serving], span: Span
) -> DnsLedger:
    """The figures of one watcher, whose samples are in order."""
    stale = [(sample, span, fault) for sample in samples for span, fault in _stale(sample, lives)]
    wrong = [fault for sample in samples for fault in _wrong(sample, lives)]
    incomplete = list(_incomplete(samples, lives, serving))
    gaps = list(_gaps(samples, span))
    changed = list(_changes(samples))
    return DnsLedger(
        samples=len(samples),
        stale_seconds=_covered([span for _, span, _ in stale]),
        stale_answers=len({sample for sample, _, _ in stale}),
        wrong_answers=len({fault.sample for fault in wrong}),
        incomplete_answers=len({fault.sample for fault in incomplete}),
        gaps=len(gaps),
        longest_gap=max(gaps, default=0.0),
        changes=len(changed),
        last_change=max(changed, default=None),
        shortest_warning=min(_warnings(samples, lives), default=None),
        faults=_in_order([*(fault for _, _, fault in stale), *wrong, *incomplete]),
    )


def _sum(by_watcher: Mapping[str, DnsLedger]) -> DnsLedger:
    every = by_watcher.values()
    return DnsLedger(
        samples=sum(ledger.samples for ledger in every),
        stale_seconds=sum(ledger.stale_seconds for ledger in every),
        stale_answers=sum(ledger.stale_answers for ledger in every),
        wrong_answers=sum(ledger.wrong_answers for ledger in every),
        incomplete_answers=sum(ledger.incomplete_answers for ledger in every),
        gaps=sum(ledger.gaps for ledger in every),
        longest_gap=max((ledger.longest_gap for ledger in every), default=0.0),
        changes=sum(ledger.changes for ledger in every),
        last_change=max((ledger.last_change for ledger in every if ledger.last_change is not None), default=None),
        shortest_warning=min(
            (ledger.shortest_warning for ledger in every if ledger.shortest_warning is not None), default=None
        ),
        faults=_in_order([fault for ledger in every for fault in ledger.faults]),
        by_watcher=by_watcher,
    )


def _in_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: fault.sample.asked))


def _samples(watcher: str, text: str) -> Iterator[Sample]:
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) == 5:
            asked, answered, code, ttl, addresses = fields
            found = tuple(addresses.split(",")) if addresses else ()
            yield Sample(watcher, float(asked), float(answered), int(code), int(ttl), found)


def _stale(sample: Sample, lives: Mapping[str, Sequence[Life]]) -> Iterator[tuple[tuple[float, float], Fault]]:
    """The spans in which the answer, as long as it may be used, leads to a container that has stopped."""
    until = sample.answered + sample.ttl
    for address in sample.addresses:
        known = sorted(lives.get(address, ()), key=lambda life: life.started)
        for life, following in itertools.zip_longest(known, known[1:]):
            if life.stopped is None:
                continue
            # The address may have become another container's.
            begun = max(life.stopped, sample.asked)
            ended = until if following is None else min(following.started, until)
            if begun < ended:
                story = f"usable until {until:.3f}, but {life.owner} stopped at {life.stopped:.3f}"
                yield (begun, ended), Fault(sample, address, story)


def _wrong(sample: Sample, lives: Mapping[str, Sequence[Life]]) -> Iterator[Fault]:
    for address in sample.addresses:
        known = lives.get(address, ())
        if not any(life.started <= sample.answered for life in known):
            yield Fault(sample, address, "was nobody's yet" if known else "is nobody's")


def _incomplete(
    samples: Sequence[Sample], lives: Mapping[str, Sequence[Life]], serving: Sequence[Serving]
) -> Iterator[Fault]:
    """What one watcher was told before and after but not in between, and what is missing at the end."""
    useful = [sample for sample in samples if sample.is_useful]
    for address in {address for sample in useful for address in sample.addresses}:
        for life in lives.get(address, ()):
            within = [
                s for s in useful if life.started <= s.asked and (life.stopped is None or s.answered < life.stopped)
            ]
            named = [position for position, sample in enumerate(within) if address in sample.addresses]
            if named:
                for sample in within[named[0] : named[-1]]:
                    if address not in sample.addresses:
                        yield Fault(sample, address, f"is missing, but {life.owner} was named before and after")
    if useful:
        last = useful[-1]
        for each in serving:
            if each.since + KNOWN_SECONDS <= last.asked and each.address not in last.addresses:
                yield Fault(last, each.address, f"is missing at the end, but {each.owner} serves")


def _gaps(samples: Sequence[Sample], span: Span) -> Iterator[float]:
    """Seconds from a first question without a useful answer, or from silence, to the next useful answer, or the end."""
    if not samples:
        if span.ended is not None:
            yield span.ended - span.began
        return
    begun: float | None = None
    for before, sample in zip((None, *samples), samples, strict=False):
        if begun is None and before is not None and sample.asked - before.answered > SILENT_SECONDS:
            begun = before.answered
        if not sample.is_useful:
            begun = sample.asked if begun is None else begun
        elif begun is not None:
            yield sample.answered - begun
            begun = None
    last = samples[-1].answered
    ended = last if span.ended is None or span.ended - last <= SILENT_SECONDS else span.ended
    if begun is not None or ended > last:
        yield ended - (last if begun is None else begun)


def _changes(samples: Sequence[Sample]) -> Iterator[float]:
    """When the set of addresses was first told to be another one."""
    useful = [sample for sample in samples if sample.is_useful]
    for before, after in itertools.pairwise(useful):
        if before.addresses != after.addresses:
            yield after.answered


def _warnings(samples: Sequence[Sample], lives: Mapping[str, Sequence[Life]]) -> Iterator[float]:
    """Of each container that was named and has ended: seconds from the last answer that named it to its end."""
    last: dict[str, list[float]] = {}
    for sample in samples:
        for address in sample.addresses:
            last.setdefault(address, []).append(sample.answered)
    for address, named in last.items():
        for life in lives.get(address, ()):
            # The address may have become another container's.
            until = min((each.started for each in lives[address] if each.started > life.started), default=float("inf"))
            own = [moment for moment in named if life.started <= moment < until]
            if own and life.stopped is not None:
                yield life.stopped - own[-1]


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of the union of the spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
