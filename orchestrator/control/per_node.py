"""Global services: one task on every node that takes it.

The slot is the node. A task whose node left, died, is drained or no longer matches is desired removed: when the node
comes back it gets a new one.
"""

from collections.abc import Iterator

from orchestrator.control.constraints import node_can_run
from orchestrator.control.plan import NOTHING, Plan, Situation
from orchestrator.control.slots import is_global, new_task, slots_of
from orchestrator.model.service import Service
from orchestrator.model.task import TaskState
from orchestrator.state.actions import Action, CreateTask, SetDesiredState


def reconcile(situation: Situation) -> Plan:
    """Give every suitable node without a task one; take them from nodes that no longer suit."""
    actions: list[Action] = []
    for service in situation.services:
        if is_global(service):
            actions.extend(_reconcile_service(situation, service))
    return Plan(tuple(actions)) if actions else NOTHING


def _reconcile_service(situation: Situation, service: Service) -> Iterator[Action]:
    nodes = situation.state.nodes
    slots = {slot.key: slot for slot in slots_of(situation.state, service)}
    for key, slot in slots.items():
        if not node_can_run(nodes.get(str(key)), service.spec.task):
            yield from (SetDesiredState(task.id, TaskState.REMOVE) for task in slot.tasks)
        elif len(slot.live) > 1 and not (service.update_status and service.update_status.state.is_active):
            # What an interrupted update prepared beside the running task.
            best = max(slot.live, key=lambda task: (task.status.state is TaskState.RUNNING, task.desired_state))
            yield from (SetDesiredState(task.id, TaskState.SHUTDOWN) for task in slot.live if task is not best)
    for node in nodes.values():
        if node.id not in slots and node.accepts_tasks and node_can_run(node, service.spec.task):
            yield CreateTask(new_task(service, node.id, situation.new_id))
