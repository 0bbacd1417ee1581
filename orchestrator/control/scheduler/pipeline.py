"""Runs the filters over nodes and explains an empty result."""

from collections.abc import Iterable

from orchestrator.control.scheduler.filters import FILTERS, Filter
from orchestrator.control.scheduler.node_load import NodeLoad
from orchestrator.model.task import Task


def refused_by(load: NodeLoad, task: Task) -> Filter | None:
    """The first filter that refuses the node, None when it may take the task."""
    return next((one for one in FILTERS if not one.admits(load, task)), None)


def admitted(loads: Iterable[NodeLoad], task: Task) -> list[NodeLoad]:
    """Nodes that may take the task, in the order given."""
    return [load for load in loads if refused_by(load, task) is None]


def explain(loads: Iterable[NodeLoad], task: Task) -> str:
    """Why none of the nodes takes it, the commonest reason first, as `docker service ps` shows it."""
    refusals = dict.fromkeys(FILTERS, 0)
    for load in loads:
        refusing = refused_by(load, task)
        if refusing is not None:
            refusals[refusing] += 1
    ranked = sorted(((count, one) for one, count in refusals.items() if count), key=lambda item: -item[0])
    reasons = "; ".join(one.explain(count) for count, one in ranked)
    return f"no suitable node ({reasons})" if reasons else "no suitable node"
