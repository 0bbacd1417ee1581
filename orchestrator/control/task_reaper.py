"""Forgets tasks that are over, and ends those that never began or whose node is gone."""

from collections.abc import Iterator

from orchestrator.control.plan import NOTHING, Plan, Situation
from orchestrator.control.slots import SlotKey
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import Action, LoseTask, RemoveTask
from orchestrator.state.cluster_state import ClusterState


def reconcile(situation: Situation) -> Plan:
    """Remove what is desired removed and over, and history beyond the limit; end what cannot end by itself."""
    state = situation.state
    actions: list[Action] = [*_never_placed(state), *_of_removed_nodes(state)]
    cluster = state.cluster
    limit = (cluster.spec if cluster else ClusterSpec()).task_history_limit
    for service_id in situation.services_with_tasks:
        actions.extend(_reap(state.tasks_of_service(service_id), limit))
    return Plan(tuple(actions)) if actions else NOTHING


def _never_placed(state: ClusterState) -> Iterator[Action]:
    for task in state.waiting_tasks:
        if not task.is_wanted:
            yield LoseTask(task.id, TaskState.SHUTDOWN, "task was stopped before it had a node")


def _of_removed_nodes(state: ClusterState) -> Iterator[Action]:
    for node_id in state.nodes_with_tasks():
        if node_id not in state.nodes:
            for task in state.tasks_on_node(node_id):
                if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING:
                    yield LoseTask(task.id, TaskState.ORPHANED, "node was removed")


def _reap(tasks: list[Task], limit: int) -> Iterator[Action]:
    """`limit` counts all tasks of a slot, running ones included, as swarm mode counts them; a negative one is none.

    The latest of a slot always stays: by it a slot whose restart policy let it rest is known as filled.
    """
    slots: dict[SlotKey, list[Task]] = {}
    for task in tasks:
        if task.desired_state < TaskState.REMOVE:
            slots.setdefault(task.slot or task.node_id, []).append(task)
        elif task.is_gone:
            yield RemoveTask(task.id)
    if limit < 0:
        return
    for history in slots.values():
        surplus = len(history) - max(limit, 1)
        if surplus > 0:
            over = [task for task in history[:-1] if task.is_gone and not task.is_wanted]
            yield from (RemoveTask(task.id) for task in over[:surplus])
