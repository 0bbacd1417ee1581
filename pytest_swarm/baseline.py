"""Holds the figures of a session against those of an earlier one, and says what got worse by more than it may. Pure.

    --swarm-compare-fail=lost:0,p99:10%

A tolerance is how much a figure may rise over the baseline: in its own unit, or in percent of the baseline.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

from pytest_swarm.budget import BadBudget, is_figure, shown, unit_of
from pytest_swarm.budget import limit as read_limit

Figures = Mapping[str, float | None]
"""Figures of one run by their key, as budgets name them; None is what the run could not show."""

# Listed whether or not somebody asks for them; a class of loss only where it changed.
_ALWAYS_LISTED = ("lost", "duplicates", "longest_gap", "p50", "p99", "update")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How much a figure may rise: `amount` in its own unit, or in percent."""

    amount: float
    is_percent: bool = False

    def ceiling(self, baseline: float) -> float:
        """Return the highest value that is no regression."""
        return baseline * (1 + self.amount / 100) if self.is_percent else baseline + self.amount


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure of one run, then and now."""

    run: str
    key: str
    baseline: float | None
    now: float | None
    tolerance: Tolerance | None = None

    @property
    def is_regression(self) -> bool:
        """Whether it rose by more than it may; what cannot be compared is no pass either."""
        if self.tolerance is None:
            return False
        if self.baseline is None or self.now is None:
            return True
        return self.now > self.tolerance.ceiling(self.baseline)

    def cells(self) -> dict[str, str]:
        """Return what a table shows of it."""
        return {
            "scenario": self.run,
            "figure": self.key,
            "baseline": self._shown(self.baseline),
            "now": self._shown(self.now),
            "change": self._change(),
            "may rise by": self._allowed(),
            "": "REGRESSION" if self.is_regression else "",
        }

    def __str__(self) -> str:
        return f"{self.run}: {self.key} was {self._shown(self.baseline)}, is {self._shown(self.now)}"

    def _change(self) -> str:
        if self.baseline is None or self.now is None:
            return "-"
        difference = self.now - self.baseline
        sign = "+" if difference > 0 else "-" if difference < 0 else ""
        percent = f" ({difference / self.baseline:+.1%})" if self.baseline and difference else ""
        return f"{sign}{shown(abs(difference), unit_of(self.key))}{percent}"

    def _allowed(self) -> str:
        if self.tolerance is None:
            return ""
        if self.tolerance.is_percent:
            return f"{self.tolerance.amount:g} %"
        return shown(self.tolerance.amount, unit_of(self.key))

    def _shown(self, value: float | None) -> str:
        return "-" if value is None else shown(value, unit_of(self.key))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was compared; `only_now` and `only_then` are runs without a counterpart."""

    rows: tuple[Row, ...]
    only_now: tuple[str, ...]
    only_then: tuple[str, ...]
    is_gate: bool

    @property
    def regressions(self) -> list[str]:
        """One sentence for each figure that got worse by more than it may, or for a gate that compared nothing."""
        if self.is_gate and not self.rows:
            return ["no run of this session has a counterpart in the baseline: nothing was compared"]
        return [str(row) for row in self.rows if row.is_regression]


def parse_tolerances(text: str) -> Mapping[str, Tolerance]:
    """Read `lost:0,p99:10%`. Raises BadBudget for an unknown figure or a tolerance of the wrong kind."""
    tolerances: dict[str, Tolerance] = {}
    for part in text.split(","):
        key, colon, amount = (each.strip() for each in part.partition(":"))
        if not colon:
            raise BadBudget(f"expected FIGURE:RISE[,FIGURE:RISE...] such as lost:0,p99:10%, not {part.strip()!r}")
        unit_of(key)
        percent = _PERCENT.fullmatch(amount)
        rise = Tolerance(float(percent[1]), is_percent=True) if percent else Tolerance(read_limit(key, amount))
        tolerances[key.replace("-", "_")] = rise
    return tolerances


def compare(then: Mapping[str, Figures], now: Mapping[str, Figures], tolerances: Mapping[str, Tolerance]) -> Comparison:
    """Compare the runs that both sessions have, figure by figure."""
    rows = [row for run in now if run in then for row in _rows(run, then[run], now[run], tolerances)]
    return Comparison(
        rows=tuple(rows),
        only_now=tuple(run for run in now if run not in then),
        only_then=tuple(run for run in then if run not in now),
        is_gate=bool(tolerances),
    )


def _rows(run: str, then: Figures, now: Figures, tolerances: Mapping[str, Tolerance]) -> Iterable[Row]:
    keys = dict.fromkeys([*_ALWAYS_LISTED, *tolerances, *(key for key in now if _class_changed(key, then, now))])
    return [Row(run, key, then.get(key), now.get(key), tolerances.get(key)) for key in keys]


def _class_changed(key: str, then: Figures, now: Figures) -> bool:
    return is_figure(key) and unit_of(key) == "count" and then.get(key) != now.get(key)
