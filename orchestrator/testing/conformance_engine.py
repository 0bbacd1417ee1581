"""What every `interfaces.Engine` must do, as checks that run against the fake and the real one alike.

A test provides an `EngineBed`: the engine, and tasks that behave as asked. Each check is a coroutine function in
`CHECKS`; it raises `AssertionError`. A bed is used for one check and cleaned up by its owner.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from orchestrator.interfaces import Engine, TaskFailed, TaskRejected
from orchestrator.model.session import LogRequest
from orchestrator.model.task import Task, TaskState, TaskStatus

DEADLINE_S = 30.0
EXIT_CODE = 3
LOG = ((1, "to stdout\n"), (2, "to stderr\n"))


class Behaviour(StrEnum):
    """What a bed's task does."""

    RUNS = "runs until it is stopped"
    ENDS_WELL = "ends at once with exit code 0"
    ENDS_BADLY = "ends at once with EXIT_CODE"
    HAS_NO_IMAGE = "its image is nowhere"
    HAS_NO_COMMAND = "its command is not in the image"
    BECOMES_HEALTHY = "runs, and its healthcheck soon passes"
    BECOMES_UNHEALTHY = "runs, and its healthcheck soon fails for good"
    TALKS = "writes LOG and ends"


class EngineBed(Protocol):
    """What a check needs."""

    @property
    def engine(self) -> Engine:
        """The engine under test."""
        ...

    def restarted(self) -> Engine:
        """The same containers seen by an engine object that knows nothing yet."""
        ...

    def task(self, behaviour: Behaviour) -> Task:
        """A new task, on no network."""
        ...


Check = Callable[[EngineBed], Awaitable[None]]


async def run_check(check: Check, bed: EngineBed) -> None:
    """Run one check within its deadline."""
    async with asyncio.timeout(DEADLINE_S):
        await check(bed)


async def describes_the_node(bed: EngineBed) -> None:
    """A name and resources to schedule by."""
    description = await bed.engine.describe()
    assert description.hostname
    assert description.resources.nano_cpus >= 1_000_000_000
    assert description.resources.memory_bytes > 0


async def prepares_once(bed: EngineBed) -> None:
    """Preparing again keeps the container, for a restarted `swarmd` too."""
    task = bed.task(Behaviour.RUNS)
    container_id = await bed.engine.prepare(task)
    assert container_id
    assert await bed.engine.prepare(task) == container_id
    assert await bed.restarted().prepare(task) == container_id
    assert _states(await bed.engine.tasks(), task) == [TaskState.READY]


async def starts_once(bed: EngineBed) -> None:
    """RUNNING with the process id; starting again changes nothing."""
    task, first = await _started(bed, Behaviour.RUNS)
    assert (first.state, first.error) == (TaskState.RUNNING, "")
    assert first.process_id > 0
    for engine in (bed.engine, bed.restarted()):
        again = await engine.start(task)
        assert (again.container_id, again.process_id) == (first.container_id, first.process_id)


async def never_runs_a_task_twice(bed: EngineBed) -> None:
    """Starting a task whose container has ended fails."""
    task, _ = await _started(bed, Behaviour.ENDS_WELL)
    await bed.engine.wait_exit(task)
    for engine in (bed.engine, bed.restarted()):
        await _fails(engine.start(task), "ended")


async def rejects_a_missing_image(bed: EngineBed) -> None:
    """In Docker's words."""
    task = bed.task(Behaviour.HAS_NO_IMAGE)
    await bed.engine.pull(task)
    error = await _fails(bed.engine.prepare(task), f"No such image: {task.spec.container.image}")
    assert isinstance(error, TaskRejected)


async def fails_to_start_a_missing_command(bed: EngineBed) -> None:
    """As a failure, not a rejection."""
    task = bed.task(Behaviour.HAS_NO_COMMAND)
    await bed.engine.prepare(task)
    error = await _fails(bed.engine.start(task), "starting container failed: ")
    assert not isinstance(error, TaskRejected)


async def completes(bed: EngineBed) -> None:
    """Exit code 0."""
    task, _ = await _started(bed, Behaviour.ENDS_WELL)
    status = await bed.engine.wait_exit(task)
    assert (status.state, status.exit_code, status.error) == (TaskState.COMPLETE, 0, "")


async def fails_with_the_exit_code(bed: EngineBed) -> None:
    """Any other exit code, at once and when asked later."""
    task, _ = await _started(bed, Behaviour.ENDS_BADLY)
    for engine in (bed.engine, bed.restarted()):
        status = await engine.wait_exit(task)
        assert (status.state, status.exit_code) == (TaskState.FAILED, EXIT_CODE)
        assert status.error == f"task: non-zero exit ({EXIT_CODE})"
    assert _states(await bed.engine.tasks(), task) == [TaskState.FAILED]


async def waits_for_no_health_without_a_check(bed: EngineBed) -> None:
    """At once."""
    task, _ = await _started(bed, Behaviour.RUNS)
    assert not bed.engine.has_healthcheck(task)
    await bed.engine.wait_healthy(task)


async def waits_for_health(bed: EngineBed) -> None:
    """Until the check passes."""
    task, _ = await _started(bed, Behaviour.BECOMES_HEALTHY)
    assert bed.engine.has_healthcheck(task)
    await bed.engine.wait_healthy(task)


async def ends_unhealthy_tasks(bed: EngineBed) -> None:
    """Both who waits for health and who waits for the end hear of it; to stop the container is not theirs."""
    task, _ = await _started(bed, Behaviour.BECOMES_UNHEALTHY)
    health = asyncio.ensure_future(_fails(bed.engine.wait_healthy(task), ""))
    status = await bed.engine.wait_exit(task)
    await health
    assert (status.state, status.still_runs) == (TaskState.FAILED, True)
    assert "unhealthy container" in status.error
    assert _states(await bed.engine.tasks(), task) == [TaskState.RUNNING]
    end = asyncio.ensure_future(bed.engine.wait_exit(task, watch_health=False))
    await bed.engine.stop(task)
    assert not (await end).still_runs


async def stops(bed: EngineBed) -> None:
    """The waiter sees the end; stopping again, or what is gone, is nothing."""
    task, _ = await _started(bed, Behaviour.RUNS)
    end = asyncio.ensure_future(bed.engine.wait_exit(task))
    await bed.engine.stop(task)
    assert (await end).state in (TaskState.COMPLETE, TaskState.FAILED)
    await bed.engine.stop(task)
    await bed.engine.remove(task)
    await bed.engine.stop(task)


async def removes(bed: EngineBed) -> None:
    """A running container too; removing again is nothing."""
    task, _ = await _started(bed, Behaviour.RUNS)
    await bed.engine.remove(task)
    assert _states(await bed.engine.tasks(), task) == []
    await bed.engine.remove(task)


async def finds_its_tasks_again(bed: EngineBed) -> None:
    """A restarted `swarmd` finds them, and can stop and remove them by their id alone."""
    task, status = await _started(bed, Behaviour.RUNS)
    engine = bed.restarted()
    found = dict(await engine.tasks())[task.id]
    assert (found.state, found.container_id) == (TaskState.RUNNING, status.container_id)
    assert found.process_id == status.process_id
    stranger = replace(task, service_id="", service_name="", slot=0, node_id="")
    await engine.stop(stranger)
    await engine.remove(stranger)
    assert _states(await engine.tasks(), task) == []


async def tells_the_log(bed: EngineBed) -> None:
    """Each stream's text under the request's number, then the end."""
    task, _ = await _started(bed, Behaviour.TALKS)
    await bed.engine.wait_exit(task)
    for streams in ((1, 2), (1,), (2,)):
        request = LogRequest(number=7, task_id=task.id, stdout=1 in streams, stderr=2 in streams)
        *frames, last = [frame async for frame in bed.engine.logs(request)]
        assert last.end
        assert {frame.number for frame in (*frames, last)} == {7}
        assert sorted((frame.stream, frame.data) for frame in frames) == [line for line in LOG if line[0] in streams]


async def follows_the_log_to_the_end(bed: EngineBed) -> None:
    """A followed log ends with its container."""
    task, _ = await _started(bed, Behaviour.RUNS)
    frames = bed.engine.logs(LogRequest(number=1, task_id=task.id, follow=True))
    last = asyncio.ensure_future(anext(aiter(frames)))
    await bed.engine.stop(task)
    assert (await last).end


async def ends_the_log_of_nothing(bed: EngineBed) -> None:
    """A task without a container has an empty log."""
    task = bed.task(Behaviour.RUNS)
    assert [frame.end async for frame in bed.engine.logs(LogRequest(number=1, task_id=task.id))] == [True]


CHECKS: tuple[Check, ...] = (
    describes_the_node,
    prepares_once,
    starts_once,
    never_runs_a_task_twice,
    rejects_a_missing_image,
    fails_to_start_a_missing_command,
    completes,
    fails_with_the_exit_code,
    waits_for_no_health_without_a_check,
    waits_for_health,
    ends_unhealthy_tasks,
    stops,
    removes,
    finds_its_tasks_again,
    tells_the_log,
    follows_the_log_to_the_end,
    ends_the_log_of_nothing,
)


async def _started(bed: EngineBed, behaviour: Behaviour) -> tuple[Task, TaskStatus]:
    task = bed.task(behaviour)
    await bed.engine.prepare(task)
    return task, await bed.engine.start(task)


async def _fails(step: Awaitable[object], text: str) -> TaskFailed:
    failure = None
    try:
        await step
    except TaskFailed as error:
        failure = error
    assert failure is not None, f"expected TaskFailed with {text!r}"
    assert text in str(failure), str(failure)
    return failure


def _states(found: Sequence[tuple[str, TaskStatus]], task: Task) -> list[TaskState]:
    return [status.state for task_id, status in found if task_id == task.id]
