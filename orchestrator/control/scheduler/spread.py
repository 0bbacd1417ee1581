"""Which of several possible nodes is best: the service spread evenly, over labels first if asked, then over nodes."""

from collections.abc import Sequence

from orchestrator.control.constraints import ENGINE_LABEL, NODE_LABEL
from orchestrator.control.scheduler.node_load import NodeLoad
from orchestrator.model.task import Task

MAX_FAILURES = 5
"""From this many recent failures on, a node is taken only when no better one is left (swarmkit `scheduler.go`)."""

Rank = tuple[int, int, int, int]


def rank(load: NodeLoad, task: Task, now: float) -> Rank:
    """Lower is better: few recent failures, few tasks of this service, few tasks at all, then the oldest node."""
    failures = load.recent_failures(task, now)
    return (
        failures if failures >= MAX_FAILURES else 0,
        load.by_service.get(task.service_id, 0),
        load.total,
        load.position,
    )


def narrow_to_branch(loads: Sequence[NodeLoad], task: Task) -> Sequence[NodeLoad]:
    """Nodes of the label values that hold the fewest of the service's tasks, level by level.

    Nodes without the label form a value of their own, as in swarm mode.
    """
    for descriptor in task.spec.placement.spread if task.spec.placement else ():
        branches: dict[str, list[NodeLoad]] = {}
        for load in loads:
            branches.setdefault(_value(load, descriptor), []).append(load)
        loads = min(branches.values(), key=lambda branch: sum(x.by_service.get(task.service_id, 0) for x in branch))
    return loads


def _value(load: NodeLoad, descriptor: str) -> str:
    if descriptor.startswith(NODE_LABEL):
        return dict(load.node.spec.labels).get(descriptor[len(NODE_LABEL) :], "")
    if descriptor.startswith(ENGINE_LABEL):
        return dict(load.node.description.engine_labels).get(descriptor[len(ENGINE_LABEL) :], "")
    return ""
