"""What actions on tasks do to the state: the task's own life, and its endpoint's beside it."""

from dataclasses import replace
from typing import Any

from orchestrator.model.errors import TransitionRefused
from orchestrator.model.node import NodeState
from orchestrator.model.service import PortConfig
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.model.task_transitions import Owner, check_transition
from orchestrator.state import actions as act
from orchestrator.state.change import Change
from orchestrator.state.cluster_state import ClusterState


def create_task(change: Change, action: act.CreateTask) -> None:
    """Add a task in state new."""
    if action.task.id in change.state.tasks:
        raise TransitionRefused(f"task {action.task.id} exists already")
    service = change.state.services.get(action.task.service_id)
    if service is None:
        raise TransitionRefused(f"service {action.task.service_id} is gone")
    if action.task.spec_version != service.spec_version:
        # Decided before the user's update was committed: no update would ever replace it.
        raise TransitionRefused(f"service {service.id} has a newer spec than task {action.task.id}")
    _put(
        change,
        action.task,
        labels=service.spec.labels,
        ports=service.spec.ports,
        status=replace(action.task.status, state=TaskState.NEW, at=change.at),
        created_at=change.at,
        state_since=change.at,
    )


def allocate_task(change: Change, action: act.AllocateTask) -> None:
    """The allocator's arrow."""
    task = change.state.task(action.task_id)
    moved = _moved(change, task, TaskState.PENDING, Owner.ALLOCATOR, "pending task scheduling")
    _put(change, task, **moved, attachments=action.attachments, ports=_numbered_ports(change.state, task))
    for attachment in action.attachments:
        network = change.state.network(attachment.network_id)
        change.state.put_network(replace(network, last_address=attachment.address))


def _numbered_ports(state: ClusterState, task: Task) -> tuple[PortConfig, ...]:
    """The task's ports with the numbers its service was given, so that it stays known what it published."""
    service = state.services.get(task.service_id)
    if service is None or service.spec_version != task.spec_version:
        return task.ports
    given = {replace(port, published_port=0): port for port in service.ports}
    return tuple(port if port.published_port else given.get(port, port) for port in task.ports)


def assign_task(change: Change, action: act.AssignTask) -> None:
    """The scheduler's arrow."""
    task = change.state.task(action.task_id)
    if not task.is_wanted:
        raise TransitionRefused(f"task {task.id} is no longer wanted")
    node = change.state.node(action.node_id)
    if node.state is NodeState.DOWN:
        raise TransitionRefused(f"node {node.id} is down")
    moved = _moved(change, task, TaskState.ASSIGNED, Owner.SCHEDULER, "scheduler assigned task to node")
    _put(change, task, **moved, node_id=action.node_id, claims=action.claims)
    change.touch_network()


def explain_pending(change: Change, action: act.ExplainPending) -> None:
    """Let the user see why a task has no node."""
    task = change.state.task(action.task_id)
    if task.status.state <= TaskState.PENDING:
        _put(change, task, status=replace(task.status, error=action.error))


def set_desired_state(change: Change, action: act.SetDesiredState) -> None:
    """Want something else of a task; a wish is never lowered."""
    want(change, change.state.task(action.task_id), action.state)


def want(change: Change, task: Task, desired: TaskState) -> None:
    """Raise the desired state. Wanting a serving task stopped takes it out of every balancer, in this revision."""
    if desired <= task.desired_state:
        return
    wished = replace(task, desired_state=desired)
    # A job's task that is to complete goes on: it is wanted still.
    withdrawn = {} if wished.is_wanted else _withdrawn(change, task)
    _put(change, wished, **withdrawn)


def report_task_status(change: Change, action: act.ReportTaskStatus) -> None:
    """The agent's arrows; an endpoint starts serving when its task runs and ends with it.

    That of a task which failed by its health is withdrawn as in a planned stop: its container still answers.
    """
    task = change.state.task(action.task_id)
    check_transition(task.status.state, action.status.state, Owner.AGENT)
    state = action.status.state
    endpoint: dict[str, Any] = {}
    if state.is_terminal and action.status.still_runs:
        endpoint = _withdrawn(change, task)
    elif state.is_terminal:
        endpoint = {"endpoint": EndpointState.RELEASED}
    elif state is TaskState.RUNNING and task.endpoint is EndpointState.ABSENT:
        endpoint = {"endpoint": EndpointState.SERVING}
    # A container's id is a name of the task.
    is_renamed = action.status.container_id != task.status.container_id and change.state.is_on_named_network(task)
    if endpoint or state.is_terminal or is_renamed:
        change.touch_network()
    _put(
        change,
        task,
        **endpoint,
        status=action.status,
        state_since=task.state_since if state is task.status.state else change.at,
        running_since=task.running_since or (change.at if state is TaskState.RUNNING else 0.0),
    )


def lose_task(change: Change, action: act.LoseTask) -> None:
    """The managers' own arrow for tasks whose node will not report."""
    task = change.state.task(action.task_id)
    moved = _moved(change, task, action.state, Owner.LIVENESS, action.message)
    change.touch_network()
    _put(change, task, **moved, endpoint=EndpointState.RELEASED)


def confirm_withdrawal(change: Change, action: act.ConfirmWithdrawal) -> None:
    """Every live node sends to it no more."""
    draining = _endpoint_moved(change, action.task_id, EndpointState.WITHDRAWING, EndpointState.DRAINING)
    _put(change, replace(draining, confirmed_at=change.at))


def release_endpoint(change: Change, action: act.ReleaseEndpoint) -> None:
    """Its connections are gone; the agent may stop it now."""
    released = _endpoint_moved(change, action.task_id, EndpointState.DRAINING, EndpointState.RELEASED)
    _put(change, released, cut_off=action.cut_off)
    change.touch_network()


def remove_task(change: Change, action: act.RemoveTask) -> None:
    """Forget a task that is over."""
    task = change.state.task(action.task_id)
    if not task.status.state.is_terminal:
        raise TransitionRefused(f"task {task.id} is still {task.status.state.name.lower()}")
    if not task.is_gone:
        raise TransitionRefused(f"task {task.id} may still be sent to: its endpoint is {task.endpoint}")
    change.state.delete_task(task.id)
    change.touch_network()


def _put(change: Change, task: Task, **fields: Any) -> None:
    change.state.put_task(replace(task, **fields, version=change.index, updated_at=change.at))


def _moved(change: Change, task: Task, state: TaskState, owner: Owner, message: str) -> dict[str, Any]:
    """Fields of a task that moves to another state."""
    check_transition(task.status.state, state, owner)
    status = replace(task.status, state=state, message=message, error="", at=change.at)
    return {"status": status, "state_since": change.at}


def _withdrawn(change: Change, task: Task) -> dict[str, Any]:
    """Fields of a task that is wanted no more."""
    if task.endpoint is EndpointState.SERVING:
        revision = change.state.withdrawn_revision = change.touch_network()
        return {"endpoint": EndpointState.WITHDRAWING, "withdrawn_revision": revision, "withdrawn_at": change.at}
    if task.endpoint is EndpointState.ABSENT:
        change.touch_network()
        return {"endpoint": EndpointState.RELEASED}
    return {}


def _endpoint_moved(change: Change, task_id: str, before: EndpointState, after: EndpointState) -> Task:
    task = change.state.task(task_id)
    if task.endpoint is not before:
        raise TransitionRefused(f"task {task_id}: its endpoint is {task.endpoint}, not {before}")
    return replace(task, endpoint=after)
