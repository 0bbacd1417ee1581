"""What one run showed: its line in the table, and the text of what is wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tabulate import tabulate

from tests.consistency.checker import Finding
from tests.consistency.history import Operation, Outcome, tally


@dataclass(slots=True)
class Report:
    """One run."""

    seed: int
    history: Sequence[Operation]
    faults: Sequence[str]
    findings: Sequence[Finding]
    others: list[str] = field(default_factory=list)
    """What else is wrong: two leaders in a term, an object that could not be read at the end."""

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings and not self.others

    @property
    def verdict(self) -> str:
        """ "valid", or how many findings there are of each kind."""
        kinds = [str(finding.verdict) for finding in self.findings] + self.others
        return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in sorted(set(kinds))) or "valid"

    def explain(self) -> str:
        """Everything that is wrong, with the faults of the run."""
        lines = [f"seed {self.seed}: {self.verdict}", *self.faults, *map(str, self.findings), *self.others]
        return "\n".join(lines)

    def row(self) -> dict[str, Any]:
        """The run's line in the table."""
        counts = tally(self.history)
        return {
            "seed": self.seed,
            "operations": len(self.history),
            **{str(outcome): counts[outcome] for outcome in Outcome},
            "faults": len(self.faults),
            "verdict": self.verdict,
        }


def table(reports: Iterable[Report]) -> str:
    """One row a run."""
    return tabulate([report.row() for report in reports], headers="keys")
