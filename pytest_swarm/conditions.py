"""When is a cluster ready, a service converged, a node empty? Answers from the API's own JSON. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pytest_swarm.waiting import Done, NotYet

ApiObject = Mapping[str, Any]

# The states in which a task may still hold a container, in swarm mode's order.
LIVE_STATES = frozenset(
    ["new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running"],
)

# How the update of a service may end, in the API's words; one that was never updated says nothing.
UPDATED = frozenset(["", "completed"])
ROLLED_BACK = UPDATED | {"rollback_completed"}
AT_REST = ROLLED_BACK | {"paused", "rollback_paused"}
_ON_THE_WAY = {"updating": "completed", "rollback_started": "rollback_completed"}


class OperationFailed(Exception):
    """The cluster gave up on what was asked of it, and waiting longer cannot help."""


def nodes_ready(nodes: Sequence[ApiObject], expected: int, managers: int) -> Done[None] | NotYet:
    """All expected nodes are Ready, the managers reachable, and one of them leads."""
    ready = [node for node in nodes if node["Status"]["State"] == "ready"]
    if len(ready) < expected:
        return NotYet(f"{len(ready)} of {expected} nodes ready; {describe_nodes(nodes)}")
    statuses = [node.get("ManagerStatus") or {} for node in nodes]
    reachable = sum(status.get("Reachability") == "reachable" for status in statuses)
    if reachable < managers:
        return NotYet(f"{reachable} of {managers} managers reachable; {describe_nodes(nodes)}")
    if not any(status.get("Leader") for status in statuses):
        return NotYet(f"no leader; {describe_nodes(nodes)}")
    return Done(None)


def is_running(task: ApiObject) -> bool:
    """Whether the task runs and is to go on running."""
    return bool(task["DesiredState"] == task["Status"]["State"] == "running")


def service_converged(
    service: ApiObject,
    tasks: Sequence[ApiObject],
    image: str | None = None,
    *,
    superseded: Collection[str] = (),
    down: Collection[str] = (),
    ends: Collection[str] = UPDATED,
) -> Done[None] | NotYet:
    """The wanted number of tasks run the wanted image, and everything else has stopped.

    `superseded` are tasks that a forced update has to replace although their image is right; `down` are the ids of
    nodes that are down: what is to stop there does so when they are back.
    `ends` are the ends of an update that were asked for, or no concern of who asks now.
    Raises OperationFailed when the update has ended as something else, or can only do so.
    """
    state = update_state(service)
    if _ON_THE_WAY.get(state, state) not in ends:
        message = (service.get("UpdateStatus") or {}).get("Message", "")
        raise OperationFailed(f"the update ended as {state}: {message}")
    wanted = replicas_of(service)
    running = [task for task in tasks if is_running(task)]
    current = [task for task in running if _runs(task, image) and task["ID"] not in superseded]
    leaving = [
        task
        for task in tasks
        if task["DesiredState"] != "running"
        and task["Status"]["State"] in LIVE_STATES
        and task.get("NodeID") not in down
    ]
    if len(current) != wanted or len(running) != wanted:
        return NotYet(f"{len(current)} of {wanted} tasks run as wanted; {describe_tasks(tasks)}")
    if leaving:
        return NotYet(f"{len(leaving)} old tasks have not stopped; {describe_tasks(leaving)}")
    if state in _ON_THE_WAY:
        return NotYet(f"update status is {state}")
    return Done(None)


def nodes_down(nodes: Sequence[ApiObject]) -> frozenset[str]:
    """Return the ids of the nodes that the managers have given up for now."""
    return frozenset(node["ID"] for node in nodes if node["Status"]["State"] == "down")


def node_is_empty(tasks: Sequence[ApiObject], node_id: str) -> Done[None] | NotYet:
    """No task of any service is left on this node."""
    left = [task for task in tasks if task.get("NodeID") == node_id and task["Status"]["State"] in LIVE_STATES]
    if left:
        return NotYet(f"{len(left)} tasks are still there; {describe_tasks(left)}")
    return Done(None)


def old_tasks_noticed(tasks: Sequence[ApiObject], node_id: str, started: float) -> Done[None] | NotYet:
    """No task of a node that started again at this moment, seconds since the epoch, is still said to run from before.

    A node that is back soon was never seen to be down, and its tasks are believed to run until it reports.
    """
    old = [
        task
        for task in tasks
        if task.get("NodeID") == node_id and _is(task, "running") and moment_of(task["Status"]["Timestamp"]) < started
    ]
    if old:
        return NotYet(f"{len(old)} tasks that ended with their node are still said to run; {describe_tasks(old)}")
    return Done(None)


def moment_of(timestamp: str) -> float:
    """Read a time of the API, which has nanoseconds; returns seconds since the epoch."""
    return datetime.datetime.fromisoformat(timestamp).timestamp()


def update_state(service: ApiObject) -> str:
    """Return the service's update status, or an empty string when it was never updated."""
    status = service.get("UpdateStatus") or {}
    return str(status.get("State") or "")


def replicas_of(service: ApiObject) -> int:
    """Return how many replicas the service is to have."""
    return int(service["Spec"]["Mode"]["Replicated"]["Replicas"])


def describe_tasks(tasks: Sequence[ApiObject]) -> str:
    """List tasks in one line, live ones first, for the message of a wait that took too long."""
    ordered = sorted(tasks, key=lambda task: (task["Status"]["State"] not in LIVE_STATES, task.get("Slot", 0)))
    return "; ".join(_describe_task(task) for task in ordered[:12]) or "no tasks"


def describe_nodes(nodes: Sequence[ApiObject]) -> str:
    """List nodes in one line."""
    return ", ".join(
        f"{node['Description']['Hostname']} {node['Status']['State']}/{node['Spec']['Availability']}" for node in nodes
    )


def _describe_task(task: ApiObject) -> str:
    status = task["Status"]
    error = f" ({status['Err']})" if status.get("Err") else ""
    return f"slot {task.get('Slot', '-')} {status['State']}, wanted {task['DesiredState']}{error}"


def _is(task: ApiObject, state: str) -> bool:
    return bool(task["Status"]["State"] == state)


def _runs(task: ApiObject, image: str | None) -> bool:
    # The engine may append a digest (`web:1@sha256:...`) to the image it was given.
    actual = str(task["Spec"]["ContainerSpec"]["Image"])
    return image is None or actual.split("@")[0] == image
