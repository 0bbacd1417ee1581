"""Gives every pending task a node, or says why none takes it.

Tasks that look alike (same service and version) are placed as a group: nodes are filtered once for the group and then
kept in a heap, so that a group of k tasks on n nodes costs about n + k log n.
"""

import heapq

from orchestrator.control.plan import NOTHING, Plan, Situation
from orchestrator.control.scheduler.node_load import NodeLoad, loads_of
from orchestrator.control.scheduler.pipeline import admitted, explain, refused_by
from orchestrator.control.scheduler.spread import narrow_to_branch, rank
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import Action, ExplainPending


def reconcile(situation: Situation) -> Plan:
    """Assign pending tasks."""
    pending = [t for t in situation.state.waiting_tasks if t.status.state is TaskState.PENDING and t.is_wanted]
    if not pending:
        return NOTHING
    loads = loads_of(situation.state, situation.state.nodes.values())
    actions: list[Action] = []
    groups: dict[tuple[str, int], list[Task]] = {}
    for task in pending:
        if task.node_id:
            actions.extend(_confirm_place(loads, task))
        else:
            groups.setdefault((task.service_id, task.spec_version), []).append(task)
    for tasks in groups.values():
        actions.extend(_place_group(loads, tasks, situation.now))
    return Plan(tuple(actions)) if actions else NOTHING


def would_fit(situation: Situation, task: Task, without: frozenset[str] = frozenset()) -> bool:
    """Whether some node would take the task if the tasks in `without` were not there."""
    loads = loads_of(situation.state, situation.state.nodes.values(), without)
    if task.node_id:
        loads = [load for load in loads if load.node.id == task.node_id]
    return bool(admitted(loads, task))


def _confirm_place(loads: list[NodeLoad], task: Task) -> list[Action]:
    """A global service's task has its node already, but the node must still take it.

    If it does not, swarm mode gives the bare reason: there is no other node to look for.
    """
    here = next((load for load in loads if load.node.id == task.node_id), None)
    if here is None:
        return _explain(explain((), task), task)
    refusing = refused_by(here, task)
    return [here.place(task)] if refusing is None else _explain(refusing.explain(1), task)


def _place_group(loads: list[NodeLoad], tasks: list[Task], now: float) -> list[Action]:
    possible = admitted(loads, tasks[0])
    if tasks[0].spec.placement and tasks[0].spec.placement.spread:
        return _place_by_branch(loads, possible, tasks, now)
    heap = [(rank(load, tasks[0], now), load) for load in possible]
    heapq.heapify(heap)
    actions: list[Action] = []
    for task in tasks:
        while heap and refused_by(heap[0][1], task) is not None:
            # Filled up by the tasks placed just now.
            heapq.heappop(heap)
        if not heap:
            actions.extend(_explain(explain(loads, task), task))
            continue
        load = heap[0][1]
        actions.append(load.place(task))
        heapq.heapreplace(heap, (rank(load, task, now), load))
    return actions


def _place_by_branch(loads: list[NodeLoad], possible: list[NodeLoad], tasks: list[Task], now: float) -> list[Action]:
    actions: list[Action] = []
    for task in tasks:
        possible = admitted(possible, task)
        if not possible:
            actions.extend(_explain(explain(loads, task), task))
            continue
        best = min(narrow_to_branch(possible, task), key=lambda load: rank(load, task, now))
        actions.append(best.place(task))
    return actions


def _explain(error: str, task: Task) -> list[Action]:
    return [ExplainPending(task.id, error)] if error != task.status.error else []
