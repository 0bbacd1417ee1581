"""Replicated services: as many slots as asked for, each with one task.

Only counts slots. What becomes of a task that ended is `restart`'s, of an outdated one `rolling_update`'s.
"""

from collections.abc import Iterator

from orchestrator.control.constraints import node_suits
from orchestrator.control.plan import NOTHING, Plan, Situation
from orchestrator.control.slots import Slot, is_lost, is_replicated, new_task, slots_of
from orchestrator.model.service import Service
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import Action, CreateTask, SetDesiredState
from orchestrator.state.cluster_state import ClusterState


def reconcile(situation: Situation) -> Plan:
    """Fill missing slots, lowest number first; remove surplus slots and surplus tasks."""
    actions: list[Action] = []
    for service in situation.services:
        if is_replicated(service):
            actions.extend(_reconcile_service(situation, service))
    return Plan(tuple(actions)) if actions else NOTHING


def _reconcile_service(situation: Situation, service: Service) -> Iterator[Action]:
    slots = slots_of(situation.state, service)
    missing = service.spec.desired_replicas - len(slots)
    if missing > 0:
        yield from _fill(situation, service, slots, missing)
    elif missing < 0:
        kept = _worth_keeping(slots)[: service.spec.desired_replicas]
        kept_keys = {slot.key for slot in kept}
        for slot in slots:
            if slot.key not in kept_keys:
                yield from (SetDesiredState(task.id, TaskState.REMOVE) for task in slot.tasks)
        slots = [slot for slot in slots if slot.key in kept_keys]
    if not (service.update_status and service.update_status.state.is_active):
        for slot in slots:
            yield from _remove_doubles(situation.state, service, slot)


def _fill(situation: Situation, service: Service, slots: list[Slot], missing: int) -> Iterator[Action]:
    taken = {slot.key for slot in slots}
    number = 0
    while missing:
        number += 1
        if number not in taken:
            missing -= 1
            yield CreateTask(new_task(service, number, situation.new_id))


def _worth_keeping(slots: list[Slot]) -> list[Slot]:
    """Best first: running, then so that nodes stay balanced, then the lowest number (swarmkit's `slot.go`)."""
    by_running = sorted(slots, key=lambda slot: (not _runs(slot), slot.key))
    on_node: dict[str, int] = {}
    ranked: list[tuple[bool, int, int, Slot]] = []
    for position, slot in enumerate(by_running):
        node_id = next((task.node_id for task in slot.live), "")
        rank = on_node.get(node_id, 0)
        on_node[node_id] = rank + 1
        ranked.append((not _runs(slot), rank, position, slot))
    return [slot for *_, slot in sorted(ranked, key=lambda item: item[:3])]


def _runs(slot: Slot) -> bool:
    return any(task.status.state is TaskState.RUNNING for task in slot.live)


def _remove_doubles(state: ClusterState, service: Service, slot: Slot) -> Iterator[Action]:
    """Outside an update a slot has one task: what an interrupted update or drain left beside it goes.

    A task whose node is lost or no longer suits is being replaced and is not a double.
    """
    staying = [task for task in slot.live if not is_lost(state, task) and _stays(state, task)]
    if len(staying) < 2:
        return

    def worth(task: Task) -> tuple[bool, bool, bool]:
        return (
            task.status.state is TaskState.RUNNING,
            task.desired_state is TaskState.RUNNING,
            task.spec_version == service.spec_version,
        )

    best = max(staying, key=worth)
    yield from (SetDesiredState(task.id, TaskState.SHUTDOWN) for task in staying if task is not best)


def _stays(state: ClusterState, task: Task) -> bool:
    return not task.node_id or node_suits(state.nodes.get(task.node_id), task.spec)
