"""An engine in memory: containers that do as their image's script says, for tests of the agent.

Passes the same conformance suite as the real one (`conformance_engine`). Nothing here waits on a clock: a container
turns healthy or ends when its script says so at once, or when the test says so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.interfaces import TaskFailed, TaskRejected
from orchestrator.model.node import NodeDescription
from orchestrator.model.service import Resources
from orchestrator.model.session import LogFrame, LogRequest
from orchestrator.model.task import Task, TaskState, TaskStatus

UNHEALTHY = "dockerexec: unhealthy container"
KILLED_EXIT_CODE = 137


@dataclass(frozen=True, slots=True)
class Script:
    """What becomes of the containers of one image; by default they start and run until they are stopped."""

    rejection: str = ""
    """Error text with which `prepare` refuses; empty = it does not."""
    is_pulled_for_ever: bool = False
    start_failure: str = ""
    """Error text with which `start` fails; empty = it does not."""
    exit_code: int | None = None
    """The container ends with it as soon as it has started; None = it runs on."""
    has_healthcheck: bool = False
    is_healthy: bool | None = None
    """Outcome of the healthcheck as soon as it has started; None = when the test says so."""
    stop_exit_code: int = 143
    """What it ends with when it is stopped: 128 + SIGTERM."""
    log: tuple[tuple[int, bytes], ...] = ()
    """(stream, data) pieces."""


@dataclass(slots=True)
class _Container:
    task: Task
    script: Script
    number: int
    state: str = "created"
    exit_code: int = 0
    health: bool | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)


class FakeEngine:
    """`interfaces.Engine` in memory.

    `scripts` says by image name what becomes of its containers; other images follow the default `Script`.
    `containers` may be shared by two engines: the second is then a restarted `swarmd`.
    """

    def __init__(
        self,
        scripts: Mapping[str, Script] | None = None,
        now: Callable[[], float] = lambda: 0.0,
        hostname: str = "fake",
        containers: dict[str, _Container] | None = None,
    ) -> None:
        self.calls: list[tuple[str, str]] = []
        """(method, task id) of every call that changes something, in order."""
        self.containers = {} if containers is None else containers
        self.attachments: dict[str, str] = {}
        """Network id -> name of a container that somebody started by hand."""
        self._scripts = dict(scripts or {})
        self._failures: dict[str, int] = {}
        self._now = now
        self._hostname = hostname

    async def describe(self) -> NodeDescription:
        """A node of 4 cores and 8 GiB."""
        return NodeDescription(hostname=self._hostname, resources=Resources(4_000_000_000, 8 << 30))

    async def attached(self) -> Mapping[str, str]:
        """What the test attached, in `attachments`."""
        return dict(self.attachments)

    async def pull(self, task: Task) -> None:
        """Every image is here, unless its script says that it never comes."""
        if self._scripts.get(task.spec.container.image, Script()).is_pulled_for_ever:
            await asyncio.Event().wait()

    async def prepare(self, task: Task) -> str:
        """Create the container, unless its script rejects it."""
        self.calls.append(("prepare", task.id))
        script = self._scripts.get(task.spec.container.image, Script())
        if script.rejection:
            raise TaskRejected(script.rejection)
        container = self.containers.setdefault(task.id, _Container(task, script, len(self.containers) + 1))
        return _container_id(container)

    async def start(self, task: Task) -> TaskStatus:
        """Start the container, and let happen what its script says happens at once."""
        self.calls.append(("start", task.id))
        container = self._container(task)
        if container.script.start_failure:
            raise TaskFailed(f"starting container failed: {container.script.start_failure}")
        if container.state == "exited":
            raise TaskFailed(_exit_error(container.exit_code) or "task: has already ended")
        if container.state == "created":
            container.state = "running"
            status = self._status(container)
            if container.script.is_healthy is not None:
                await self.set_health(task.id, healthy=container.script.is_healthy)
            if container.script.exit_code is not None:
                await self.end(task.id, container.script.exit_code)
            return status
        return self._status(container)

    async def wait_healthy(self, task: Task) -> None:
        """Return or raise when the health is known or the container ends."""
        container = self._container(task)
        if not self.has_healthcheck(task):
            return
        async with container.changed:
            await container.changed.wait_for(lambda: container.health is not None or container.state == "exited")
        if container.state == "exited":
            raise TaskFailed(_exit_error(container.exit_code) or "task: has ended")
        if not container.health:
            raise TaskFailed(UNHEALTHY)

    def has_healthcheck(self, task: Task) -> bool:
        """As the script says."""
        return self._container(task).script.has_healthcheck

    async def wait_exit(self, task: Task, *, watch_health: bool = True) -> TaskStatus:
        """Return when the container has ended or is unhealthy; raise as often as `fail_next` says."""
        self._may_fail("wait_exit")
        container = self._container(task)
        async with container.changed:
            await container.changed.wait_for(
                lambda: (watch_health and container.health is False) or container.state == "exited"
            )
        if container.state != "exited":
            sick = _moved(self._status(container), TaskState.FAILED, "started", error=UNHEALTHY)
            return replace(sick, still_runs=True)
        return self._status(container)

    async def stop(self, task: Task) -> None:
        """End the container with the script's exit code."""
        self._may_fail("stop")
        self.calls.append(("stop", task.id))
        container = self.containers.get(task.id)
        if container is not None and container.state == "running":
            await self.end(task.id, container.script.stop_exit_code)

    async def remove(self, task: Task) -> None:
        """Forget the container; whoever waits for it sees it killed."""
        self._may_fail("remove")
        self.calls.append(("remove", task.id))
        if task.id in self.containers:
            await self.end(task.id, KILLED_EXIT_CODE)
            del self.containers[task.id]

    async def tasks(self) -> Sequence[tuple[str, TaskStatus]]:
        """All containers, ordered by task id."""
        return [(task_id, self._status(container)) for task_id, container in sorted(self.containers.items())]

    async def logs(self, request: LogRequest) -> AsyncIterator[LogFrame]:
        """The script's log of the streams asked for; with `follow` it ends when the container does."""
        container = self.containers.get(request.task_id)
        if container is not None:
            wanted = {1: request.stdout, 2: request.stderr}
            for stream, data in container.script.log:
                if wanted[stream]:
                    yield LogFrame(request.number, stream, data.decode("latin-1"))
            if request.follow:
                async with container.changed:
                    await container.changed.wait_for(lambda: container.state == "exited")
        yield LogFrame(request.number, end=True)

    def fail_next(self, method: str, times: int = 1) -> None:
        """Let the next calls of `stop`, `remove` or `wait_exit` raise `OSError`: an engine that does not answer."""
        self._failures[method] = times

    def _may_fail(self, method: str) -> None:
        if self._failures.get(method):
            self._failures[method] -= 1
            raise OSError("the engine does not answer")

    async def end(self, task_id: str, exit_code: int) -> None:
        """Let the container end by itself."""
        container = self.containers[task_id]
        async with container.changed:
            if container.state != "exited":
                container.state, container.exit_code = "exited", exit_code
            container.changed.notify_all()

    async def set_health(self, task_id: str, *, healthy: bool) -> None:
        """Let the container's healthcheck come out."""
        container = self.containers[task_id]
        async with container.changed:
            container.health = healthy
            container.changed.notify_all()

    def _container(self, task: Task) -> _Container:
        container = self.containers.get(task.id)
        if container is None:
            raise TaskFailed(f"No such container: {task.container_name}")
        return container

    def _status(self, container: _Container, cause: str = "") -> TaskStatus:
        status = TaskStatus(TaskState.READY, "prepared", at=self._now(), container_id=_container_id(container))
        if container.state == "running":
            return _moved(status, TaskState.RUNNING, "started", process_id=container.number)
        if container.state == "exited":
            error = _exit_error(container.exit_code, cause)
            state = TaskState.FAILED if error else TaskState.COMPLETE
            return _moved(status, state, "finished", error=error, exit_code=container.exit_code)
        return status


def _moved(
    status: TaskStatus,
    state: TaskState,
    message: str,
    *,
    error: str = "",
    process_id: int = 0,
    exit_code: int | None = None,
) -> TaskStatus:
    return TaskStatus(state, message, error, status.at, status.container_id, process_id, exit_code)


def _container_id(container: _Container) -> str:
    return f"{container.number:064x}"


def _exit_error(exit_code: int, cause: str = "") -> str:
    if exit_code == 0:
        return cause
    return f"task: non-zero exit ({exit_code})" + (f": {cause}" if cause else "")
