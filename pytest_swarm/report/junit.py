"""The figures of a test's loads as properties of its report: for a JUnit file, and for the way back from a worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pytest_swarm.baseline import Figures
from pytest_swarm.budget import figures_of, is_figure
from pytest_swarm.guards import verdict

if TYPE_CHECKING:
    from pytest_swarm.load import LoadRun

_PREFIX = "swarm"
_VALID = "valid"


def properties_of(runs: Iterable[LoadRun]) -> Iterator[tuple[str, object]]:
    """Yield name and value of each property: `swarm.load1.lost`. Times are seconds."""
    for run in runs:
        if not run.has_ended:
            continue
        prefix = f"{_PREFIX}.{run.name}"
        yield f"{prefix}.sent", run.ledger.sent
        for key, value in figures_of(run.ledger).items():
            if value is not None:
                yield f"{prefix}.{key}", value
        yield f"{prefix}.{_VALID}", "no" if run.violations else "yes"
        yield f"{prefix}.budget", "broken" if run.broken else "kept" if run.verdicts else "none"
        yield f"{prefix}.verdict", verdict(run.ledger, run.violations)


def figures_in(properties: Iterable[tuple[str, object]]) -> Mapping[str, Figures]:
    """Return the figures of each valid run that these properties tell of, by its name."""
    figures: dict[str, dict[str, float | None]] = defaultdict(dict)
    valid = []
    for name, value in properties:
        prefix, _, rest = name.partition(".")
        run, _, key = rest.partition(".")
        if prefix != _PREFIX or not key:
            continue
        if key == _VALID and value == "yes":
            valid.append(run)
        elif is_figure(key) and isinstance(value, int | float):
            figures[run][key] = value
    return {run: figures[run] for run in valid}
