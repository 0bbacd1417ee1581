"""The agent's part of a task's life, as a table: what is done next, from what is and what is ordered. Pure.

The shape is swarmkit's `agent/exec.Do`: each step moves a task by one state, and a step is only ever chosen here.
"""

from enum import StrEnum

from orchestrator.model.task import TaskState


class Step(StrEnum):
    """The next thing to do for a task."""

    PREPARE = "prepare"
    """Get the image, create the container."""
    START = "start"
    """Start the container."""
    AWAIT_READINESS = "await readiness"
    """Wait until it is healthy or accepts connections."""
    AWAIT_EXIT = "await exit"
    """Watch the running container."""
    STOP = "stop"
    """End the container: stop signal, grace period, kill."""
    REST = "rest"
    """Nothing, until another order comes."""


_S = TaskState

TOWARDS_RUNNING: dict[TaskState, Step] = {
    _S.ASSIGNED: Step.PREPARE,
    _S.ACCEPTED: Step.PREPARE,
    _S.PREPARING: Step.PREPARE,
    _S.READY: Step.START,
    _S.STARTING: Step.AWAIT_READINESS,
    _S.RUNNING: Step.AWAIT_EXIT,
}

INTERRUPTIBLE = (Step.AWAIT_READINESS, Step.AWAIT_EXIT, Step.REST)
"""Steps that end when the order changes. The others are short, bounded, and run to their end, but for what PREPARE
gathers before it creates the container: that ends when the task is to stop."""


def next_step(observed: TaskState, ordered: TaskState) -> Step:
    """The step for a task observed in one state and ordered into another."""
    if observed.is_terminal:
        return Step.REST
    # A job's task is ordered to be complete: it runs like any other, but is not stopped.
    if ordered > _S.COMPLETE:
        return Step.STOP
    if observed is _S.READY and ordered is _S.READY:
        return Step.REST
    return TOWARDS_RUNNING[observed]


def resumed_state(assigned: TaskState, container: TaskState | None) -> TaskState:
    """Where a task stands for an agent that has just started.

    `assigned` is what the managers know, `container` what the engine shows (None: there is no container). A task
    never goes back, so the later of both counts; a running container whose task nobody called running has yet to
    pass the readiness gate; one that should be there and is not has failed.
    """
    if assigned.is_terminal:
        return assigned
    if container is None:
        return _S.FAILED if assigned >= _S.STARTING else _S.ASSIGNED
    if container is _S.RUNNING and assigned < _S.RUNNING:
        return _S.STARTING
    return max(assigned, container)
