"""What a run may lose: limits in the words of a marker or an option, and what a run made of them. Pure.

    lost=0,duplicates=0,p99=2s,longest_gap=500ms

A limit is the most that is allowed. Counts are whole numbers and ratios are compared as they are: nothing here is ever
rounded in favour of a run.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import durationpy

from pytest_swarm.ledger import LOST_CLASSES, Ledger

Unit = Literal["count", "ratio", "seconds"]

_EXAMPLES = {"count": "a whole number such as 0", "ratio": "a part of 1 such as 0.001", "seconds": '"500ms", "2s" or 2'}
_USUAL_PERCENTILES = ("p50", "p90", "p95", "p99")
_PERCENTILE = re.compile(r"p([1-9][0-9]?)")


class BadBudget(ValueError):
    """A word of a budget means nothing; the message says which, and what would be right."""


@dataclasses.dataclass(frozen=True)
class _Figure:
    """One thing that can be limited. `read` gives None when the run cannot show it, for the reason in `missing`."""

    unit: Unit
    read: Callable[[Ledger], float | None]
    missing: str = ""


def _class_count(name: str) -> _Figure:
    return _Figure("count", lambda ledger: ledger.counts[name])


def _percentile(percent: int) -> _Figure:
    return _Figure("seconds", lambda ledger: ledger.percentile(percent), "no request was answered")


_FIGURES: Mapping[str, _Figure] = {
    "lost": _Figure("count", lambda ledger: ledger.lost),
    "duplicates": _Figure(
        "count",
        lambda ledger: ledger.duplicates if ledger.is_logged else None,
        "the service keeps no log of its requests that would show them",
    ),
    "ratio": _Figure("ratio", lambda ledger: ledger.lost / ledger.sent if ledger.sent else None, "nothing was sent"),
    "seconds_with_loss": _Figure("count", lambda ledger: ledger.seconds_with_loss),
    "longest_gap": _Figure("seconds", lambda ledger: ledger.longest_gap),
    "slowest": _percentile(100),
    "update": _Figure("seconds", lambda ledger: ledger.operations_seconds),
    **{name.replace("-", "_"): _class_count(name) for name in LOST_CLASSES},
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One limit of a budget held against a run; `seen` is None when it cannot be told, for the reason `missing`."""

    key: str
    allowed: float
    seen: float | None
    missing: str = ""

    @property
    def is_kept(self) -> bool:
        return self.seen is not None and self.seen <= self.allowed

    def __str__(self) -> str:
        unit = _figure(self.key).unit
        seen = f"cannot be told: {self.missing}" if self.seen is None else f"seen {shown(self.seen, unit)}"
        return f"{self.key}: allowed {shown(self.allowed, unit)}, {seen}"


@dataclasses.dataclass(frozen=True)
class Budget:
    """Limits by their key; an empty budget allows everything."""

    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Budget:
        """Read the words of a marker. Raises BadBudget for an unknown key or a value of the wrong kind."""
        return cls({_key(name): limit(name, value) for name, value in words.items()})

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read the words of an option: `lost=0,p99=2s`. Raises BadBudget."""
        words: dict[str, str] = {}
        for part in text.split(","):
            name, equals, value = (each.strip() for each in part.partition("="))
            if not equals:
                raise BadBudget(f"expected KEY=LIMIT[,KEY=LIMIT...] such as lost=0,p99=2s, not {part.strip()!r}")
            if _key(name) in words:
                raise BadBudget(f"{name} is limited twice")
            words[_key(name)] = value
        return cls.of(words)

    def over(self, other: Budget) -> Budget:
        """Return both budgets' limits; where both name a key, this one's."""
        return Budget({**other.limits, **self.limits})

    def judge(self, ledger: Ledger) -> list[Verdict]:
        """Hold every limit against a run, in the order they were given."""
        return [_judge(key, allowed, ledger) for key, allowed in self.limits.items()]

    def __str__(self) -> str:
        return ", ".join(f"{key}={shown(limit, _figure(key).unit)}" for key, limit in self.limits.items())


def unit_of(name: str) -> Unit:
    """Return the unit of a figure. Raises BadBudget for an unknown one."""
    return _figure(_key(name)).unit


def is_figure(name: str) -> bool:
    """Whether a budget can limit something of this name."""
    return name in _FIGURES or _PERCENTILE.fullmatch(name) is not None


def figures_of(ledger: Ledger) -> dict[str, float | None]:
    """Return what a run shows, by the keys that budgets limit; of the percentiles, the usual ones."""
    return {key: _figure(key).read(ledger) for key in (*_FIGURES, *_USUAL_PERCENTILES)}


def breach_report(broken: Iterable[Verdict], explanation: str) -> str:
    """Say in one message what was allowed, what was seen, and what became of the first losses."""
    return f"the loss budget is broken: {'; '.join(map(str, broken))}\n{explanation}"


def seconds_of(value: object) -> float:
    """Read a time: a number of seconds, or a duration in Go's and Docker's words. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a duration")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = durationpy.from_str(str(value)).total_seconds()
        except durationpy.DurationError:
            raise ValueError("not a duration") from None
    if not 0 <= seconds < math.inf:
        raise ValueError("not a duration")
    return seconds


def _judge(key: str, allowed: float, ledger: Ledger) -> Verdict:
    figure = _figure(key)
    return Verdict(key, allowed, figure.read(ledger), figure.missing)


def _key(name: str) -> str:
    """Return the canonical form of a key: the classes may be written as the ledger's table names them."""
    key = name.replace("-", "_")
    if not is_figure(key):
        raise BadBudget(f"nothing is called {name!r}: expected one of {', '.join(_FIGURES)}, or p1 to p99")
    return key


def _figure(key: str) -> _Figure:
    match = _PERCENTILE.fullmatch(key)
    return _percentile(int(match[1])) if match else _FIGURES[key]


def limit(name: str, value: object) -> float:
    """Read one limit in the unit of its figure. Raises BadBudget."""
    unit = unit_of(name)
    try:
        return _READERS[unit](value)
    except ValueError:
        raise BadBudget(f"{name} is {value!r}: expected {_EXAMPLES[unit]}") from None


def _count_of(value: object) -> float:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]+", str(value)):
        raise ValueError("not a count")
    return int(str(value))


def _ratio_of(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a ratio")
    ratio = float(value)
    if not 0 <= ratio <= 1:
        raise ValueError("not a ratio")
    return ratio


_READERS: Mapping[Unit, Callable[[object], float]] = {"count": _count_of, "ratio": _ratio_of, "seconds": seconds_of}


def shown(value: float, unit: Unit) -> str:
    """Print a figure so that it never looks smaller than it is."""
    if unit == "seconds":
        return f"{round(value, 6):.12g} s"
    return f"{value:.12g}"
