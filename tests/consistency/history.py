"""What clients did to named objects of the cluster, and what they were told: the evidence that `checker` judges.

The terms are Jepsen's: an operation is invoked and later completes as ok, fail (it certainly changed nothing) or info
(nobody knows: it may take effect at any time after it was invoked, or never).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

NEVER = float("inf")


class Action(StrEnum):
    """What a client asks for. An update names the version that it replaces: it is a compare-and-set."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    REMOVE = "remove"


class Outcome(StrEnum):
    """How an operation completed."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


class Refusal(StrEnum):
    """Why an operation failed, as far as that tells something about the object."""

    EXISTS = "exists"
    ABSENT = "absent"
    STALE = "stale"
    """The version that the update names is not the current one."""
    NOT_SERVED = "not served"
    """It never reached the cluster, or was a read that got no answer: it tells nothing."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One request of one client about one object. Times are seconds of one monotonic clock."""

    client: str
    key: str
    """Which object: its kind and name."""
    action: Action
    invoked: float
    completed: float
    """`NEVER` for info: its effect may come at any time."""
    outcome: Outcome
    value: str | None = None
    """Written by create and update, each value once in a history; seen by a read, None when there was no object."""
    expected: str | None = None
    """Of an update: the value that was read together with `version`."""
    version: int | None = None
    """Of an update: the version it replaces. Of a read: the one seen."""
    refusal: Refusal | None = None
    is_final: bool = False
    """Whether it was made after all faults were over."""
    note: str = ""
    """What the client was told, for the reader of a finding."""

    @property
    def changes_nothing(self) -> bool:
        """Whether it certainly left the object as it was."""
        return self.action is Action.READ or self.outcome is Outcome.FAIL

    def __str__(self) -> str:
        """One line for a finding."""
        end = "..." if self.completed == NEVER else f"{self.completed:.3f}"
        parts = [f"{self.invoked:.3f}-{end} {self.client} {self.action} {self.key}: {self.outcome}"]
        if self.action is Action.READ and self.outcome is Outcome.OK:
            parts.append(f"saw {self.value or 'nothing'}")
        elif self.value is not None:
            parts.append(f"wrote {self.value}")
        if self.expected is not None:
            parts.append(f"over {self.expected}")
        if self.version is not None:
            parts.append(f"at version {self.version}")
        if self.refusal is not None:
            parts.append(f"({self.refusal})")
        if self.note:
            parts.append(f'"{self.note}"')
        return " ".join(parts)


def by_key(history: Iterable[Operation]) -> Mapping[str, list[Operation]]:
    """The operations of each object, in the order in which they were invoked."""
    keys: dict[str, list[Operation]] = {}
    for operation in sorted(history, key=lambda operation: operation.invoked):
        keys.setdefault(operation.key, []).append(operation)
    return keys


def tally(history: Iterable[Operation]) -> dict[Outcome, int]:
    """How many operations completed in which way."""
    counts = dict.fromkeys(Outcome, 0)
    for operation in history:
        counts[operation.outcome] += 1
    return counts
