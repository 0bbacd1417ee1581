"""What a history had in it: promises are kept easily where nothing happens."""

from collections import Counter
from collections.abc import Iterable

from orchestrator.state.actions import (
    Action,
    CreateService,
    ExplainPending,
    RollbackService,
    SetUpdateStatus,
    UpdateNodeSpec,
)

REASONS_TO_WAIT = ("insufficient resources", "scheduling constraints", "max replicas", "not available")
"""Of the scheduler, in its own words."""

Happened = Counter[str]
"""What a history had in it, and how often: to see that the promises were put to the test."""


def happened(log: Iterable[tuple[float, Action]]) -> Happened:
    """Every kind of action, and of those that matter here, what of."""
    counts: Happened = Counter()
    for _, action in log:
        counts[type(action).__name__] += 1
        match action:
            case CreateService(service=service):
                counts[f"{service.spec.mode} service"] += 1
            case RollbackService(between=between):
                counts["rollback by hand" if between is None else "rollback by failure"] += 1
            case SetUpdateStatus(status=status):
                counts[f"update {status.state}"] += 1
            case UpdateNodeSpec(spec=spec):
                counts[f"node {spec.availability}"] += 1
            case ExplainPending(error=error):
                counts.update(reason for reason in REASONS_TO_WAIT if reason in error)
    return counts
