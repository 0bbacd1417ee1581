"""What was done to the service while the load ran, as spans of time that every request can be placed in. Pure."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

BEFORE = "before"
AFTER = "after"


@dataclasses.dataclass(frozen=True)
class Replacement:
    """One slot's change from an old task to a new one; times are seconds since the epoch."""

    slot: str
    started: float
    finished: float


@dataclasses.dataclass(frozen=True)
class Operation:
    """An update, a scale or a drain, from the request to the API until the cluster had converged; or a fault.

    A fault in force has no end yet: its `finished` is infinite. `killed` names the nodes that died at its beginning.
    """

    name: str
    started: float
    finished: float
    replacements: tuple[Replacement, ...] = ()
    images: tuple[str, ...] = ()
    """The image before and the one it brought, if that is another."""
    has_failed: bool = False
    is_fault: bool = False
    killed: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return self.finished - self.started


@dataclasses.dataclass(frozen=True)
class Phase:
    """A span [started, finished) of a run in which the same operations go on; times are seconds since the epoch."""

    name: str
    started: float
    finished: float
    operations: tuple[Operation, ...] = ()


def images_in_service(operations: Iterable[Operation]) -> frozenset[str]:
    """Images from which the service answered at some time, as far as these operations tell."""
    changes = [operation for operation in operations if operation.images]
    images = {image for each in changes if not each.has_failed for image in each.images}
    brought = {each.images[-1] for each in changes if not each.has_failed}
    never_came = {each.images[-1] for each in changes if each.has_failed}
    return frozenset(images - (never_came - brought))


def split_into_phases(started: float, finished: float, operations: Sequence[Operation]) -> tuple[Phase, ...]:
    """Cut a run into before, the operations, the pauses between them, and after.

    Where operations overlap, each combination of them is a phase: `update`, `update + n2 killed`, `update`. An
    operation that the run did not outlast leaves an empty phase after it; a fault may last longer than the run.
    """
    clipped = [_clipped(each, started, finished) for each in sorted(operations, key=lambda each: each.started)]
    spans = [each for each in clipped if each.started < each.finished]
    moments = sorted({started, finished, *(each.started for each in spans), *(each.finished for each in spans)})
    busy = [
        Phase(" + ".join(each.name for each in active), left, right, active)
        for left, right in itertools.pairwise(moments)
        if (active := tuple(each for each in spans if each.started <= left and right <= each.finished))
    ]
    if not busy:
        return (Phase("steady", started, finished),)
    phases: list[Phase] = []
    if busy[0].started > started or not _only_faults(busy[0]):
        phases.append(Phase(BEFORE, min(started, busy[0].started), busy[0].started))
    for phase in busy:
        if phases and phases[-1].finished < phase.started:
            phases.append(Phase(f"between {phases[-1].name} and {phase.name}", phases[-1].finished, phase.started))
        phases.append(phase)
    if busy[-1].finished < finished or not _only_faults(busy[-1]):
        phases.append(Phase(AFTER, busy[-1].finished, max(finished, busy[-1].finished)))
    return tuple(phases)


def _clipped(operation: Operation, started: float, finished: float) -> Operation:
    if not operation.is_fault:
        return operation
    return dataclasses.replace(
        operation, started=max(operation.started, started), finished=min(operation.finished, finished)
    )


def _only_faults(phase: Phase) -> bool:
    return all(operation.is_fault for operation in phase.operations)


def phase_at(phases: Sequence[Phase], moment: float) -> Phase:
    """Return the phase of a moment; what lies outside the run belongs to its first or last phase."""
    for phase in phases:
        if moment < phase.finished:
            return phase
    return phases[-1]


def slots_replaced_at(phase: Phase, moment: float) -> list[str]:
    """Name the slots whose task was being replaced at this moment."""
    return [
        each.slot
        for operation in phase.operations
        for each in operation.replacements
        if each.started <= moment <= each.finished
    ]
