"""Whether a history is one that a single, never failing copy of each object could have produced.

Linearizability after Wing and Gong, with Lowe's memory of configurations seen ("Testing for linearizability", 2017).
It is composable: a history is linearizable when that of each object is. No Python package does this; the method is that
of Knossos and Porcupine.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from tests.consistency.history import NEVER, Action, Operation, Outcome, Refusal, by_key
from tests.consistency.register import Impossible, State, after

CONFIGURATIONS_MAX = 300_000
"""Configurations of one object that are looked at before giving up: some seconds of work."""

Step = Callable[[State, Operation], State]


class Verdict(StrEnum):
    """From good to bad; `UNKNOWN` is a search that was given up."""

    VALID = "valid"
    UNKNOWN = "unknown"
    WRONG_ANSWER = "wrong answer"
    """All writes can be explained, and the end; some answers before it cannot: stale or dirty reads."""
    VERSION_WENT_BACK = "version went back"
    BROKEN = "broken"
    """A write was lost, or done twice, or two that exclude each other were acknowledged."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one object's history."""

    key: str
    verdict: Verdict
    culprits: tuple[Operation, ...]
    """Those that cannot be explained."""
    state: State = None
    """What the object held where the explanation ends."""
    around: tuple[Operation, ...] = ()
    """The object's operations that were under way then or shortly before."""

    def __str__(self) -> str:
        """Several lines."""
        held = f"; the object held {self.state or 'nothing'} and then came" if self.verdict is Verdict.BROKEN else ""
        lines = [f"{self.key}: {self.verdict}{held}"]
        lines += [f"  ! {operation}" for operation in self.culprits]
        lines += [f"    {operation}" for operation in self.around if operation not in self.culprits]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Dead:
    """The search's end without success: the furthest it came."""

    given_up: bool
    done: int = 0
    """Operations explained, as a set of bits."""
    state: State = None


def check(
    history: Iterable[Operation],
    *,
    versions_are_clients: Callable[[str], bool] = lambda key: True,
    initial: Callable[[str], State] = lambda key: None,
    limit: int = CONFIGURATIONS_MAX,
) -> list[Finding]:
    """Everything wrong with the history, one finding an object.

    `versions_are_clients` as for `register.after`, and `initial` what the object holds at first, both by key.
    """
    findings = []
    for key, operations in by_key(history).items():
        step: Step = partial(after, versions_are_clients=versions_are_clients(key))
        findings.append(_check_object(key, operations, initial(key), step, limit))
    return [finding for finding in findings if finding is not None]


def two_leaders(terms: Iterable[tuple[int, str]]) -> dict[int, list[str]]:
    """(term, who led in it) -> the terms that had more than one leader."""
    leaders: dict[int, dict[str, None]] = {}
    for term, name in terms:
        leaders.setdefault(term, {})[name] = None
    return {term: list(names) for term, names in leaders.items() if len(names) > 1}


def _check_object(key: str, operations: Sequence[Operation], initial: State, step: Step, limit: int) -> Finding | None:
    telling = [operation for operation in operations if operation.refusal is not Refusal.NOT_SERVED]
    dead = _search(telling, initial, step, limit)
    if dead is None:
        return _check_versions(key, telling)
    culprit = _first_unexplained(telling, dead)
    finding = Finding(key, Verdict.UNKNOWN, (culprit,), dead.state, _around(operations, culprit))
    if dead.given_up:
        return finding
    wrong = _wrong_answers(telling, initial, step, limit)
    if not wrong:
        return replace(finding, verdict=Verdict.BROKEN)
    return Finding(key, Verdict.WRONG_ANSWER, wrong, around=_around(operations, wrong[0]))


def _wrong_answers(
    operations: Sequence[Operation], initial: State, step: Step, limit: int
) -> tuple[Operation, ...] | None:
    """Answers that changed nothing, without which all the rest is valid; None when that is not enough.

    Later answers are believed rather than earlier ones, for what is stale is soon contradicted.
    """
    kept = [operation for operation in operations if not _may_be_wrong(operation)]
    if _search(kept, initial, step, limit) is not None:
        return None
    wrong = []
    for operation in reversed([operation for operation in operations if _may_be_wrong(operation)]):
        tried = sorted([*kept, operation], key=lambda each: each.invoked)
        if _search(tried, initial, step, limit) is None:
            kept = tried
        else:
            wrong.append(operation)
    return tuple(reversed(wrong))


def _may_be_wrong(operation: Operation) -> bool:
    return operation.changes_nothing and not operation.is_final


def _search(operations: Sequence[Operation], initial: State, step: Step, limit: int) -> _Dead | None:
    """None when the operations, in order of invocation, can be put in an order that explains every outcome."""
    required = sum(1 << number for number, o in enumerate(operations) if o.outcome is not Outcome.INFO)
    furthest = _Dead(False, 0, initial)
    seen = {(0, initial)}
    branches = [_successors(operations, 0, initial, step)]
    if not required:
        return None
    while branches:
        following = next(branches[-1], None)
        if following is None:
            branches.pop()
            continue
        if following in seen:
            continue
        seen.add(following)
        done, state = following
        if done & required == required:
            return None
        if len(seen) > limit:
            return _Dead(True, furthest.done, furthest.state)
        if (done & required).bit_count() > (furthest.done & required).bit_count():
            furthest = _Dead(False, done, state)
        branches.append(_successors(operations, done, state, step))
    return furthest


def _successors(operations: Sequence[Operation], done: int, state: State, step: Step) -> Iterator[tuple[int, State]]:
    """Configurations one operation further on, the likely ones first."""
    uncertain: dict[tuple[Action, State, State], tuple[int, State]] = {}
    certain = []
    for number in _next_ones(operations, done):
        operation = operations[number]
        try:
            changed = step(state, operation)
        except Impossible:
            continue
        following = (done | 1 << number, changed)
        if operation.outcome is not Outcome.INFO:
            if operation.changes_nothing:
                # What is explained now and changes nothing need not be tried at any other place.
                yield following
                return
            certain.append(following)
        else:
            # Of requests for the same, the first serves for all.
            uncertain.setdefault((operation.action, operation.expected, operation.value), following)
    yield from certain
    yield from uncertain.values()


def _next_ones(operations: Sequence[Operation], done: int) -> Iterator[int]:
    """Those that may come next: invoked before any other that is not done has completed."""
    first_completion = NEVER
    for number, operation in enumerate(operations):
        if done >> number & 1:
            continue
        if operation.invoked > first_completion:
            return
        first_completion = min(first_completion, operation.completed)
        yield number


def _unexplained(operations: Sequence[Operation], dead: _Dead) -> list[Operation]:
    left = [o for number, o in enumerate(operations) if not dead.done >> number & 1 and o.outcome is not Outcome.INFO]
    return sorted(left, key=lambda operation: operation.completed)


def _first_unexplained(operations: Sequence[Operation], dead: _Dead) -> Operation:
    return _unexplained(operations, dead)[0]


def _around(
    operations: Sequence[Operation], culprit: Operation, before: int = 12, later: int = 3
) -> tuple[Operation, ...]:
    place = operations.index(culprit)
    return tuple(operations[max(place - before, 0) : place + later + 1])


def _check_versions(key: str, operations: Sequence[Operation]) -> Finding | None:
    """Versions only grow: who asks after an answer sees no older one, and after an update was accepted a newer one."""
    known: list[tuple[float, int, Operation]] = []
    for operation in operations:
        if operation.outcome is not Outcome.OK or operation.version is None:
            continue
        for completed, at_least, earlier in known:
            if completed < operation.invoked and operation.version < at_least:
                around = _around(operations, operation)
                return Finding(key, Verdict.VERSION_WENT_BACK, (earlier, operation), operation.expected, around)
        newer = operation.version + (operation.action is Action.UPDATE)
        known.append((operation.completed, newer, operation))
    return None
