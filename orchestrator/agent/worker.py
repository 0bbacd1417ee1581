"""All tasks of this node: starts a runner for each assignment, erases what is no longer assigned."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator import clock
from orchestrator.agent.readiness import ReadinessGate
from orchestrator.agent.task_machine import resumed_state
from orchestrator.agent.task_runner import TaskRunner
from orchestrator.backoff import Backoff
from orchestrator.duties import end_duties, start_duty
from orchestrator.interfaces import Connections, Engine, TaskFiles
from orchestrator.model.container import ContainerSpec
from orchestrator.model.files import FilePayload
from orchestrator.model.service import TaskSpec
from orchestrator.model.task import Task, TaskState, TaskStatus

logger = logging.getLogger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 10.0
ERASURE_ATTEMPTS = 60


class Worker:
    """Keeps the node's containers as the last assignments say."""

    def __init__(
        self,
        engine: Engine,
        connections: Connections,
        files: TaskFiles,
        *,
        networks_carried: Callable[[Task], Coroutine[Any, Any, None]],
        data_plane_reached: Callable[[int], Coroutine[Any, Any, None]],
        report: Callable[[str, TaskStatus], None],
    ) -> None:
        self._engine = engine
        self._files = files
        self._payloads: Mapping[str, FilePayload] = {}
        """Content by id of the secrets and configs that the last assignments brought."""
        self._readiness = ReadinessGate(engine, connections)
        self._networks_carried = networks_carried
        self._data_plane_reached = data_plane_reached
        self._report = report
        self._runners: dict[str, TaskRunner] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._erasing: dict[str, asyncio.Task[None]] = {}
        self._found: dict[str, TaskStatus] | None = None
        """Containers that were here before this process; None until the engine was asked."""

    @property
    def statuses(self) -> tuple[tuple[str, TaskStatus], ...]:
        """(task id, status) of every task under way or at rest."""
        return tuple((task_id, runner.status) for task_id, runner in self._runners.items())

    def process_ids(self) -> Mapping[str, int]:
        """Process id by task id of tasks whose container runs."""
        return {
            task_id: runner.status.process_id
            for task_id, runner in self._runners.items()
            if runner.status.process_id and (runner.status.still_runs or not runner.status.state.is_terminal)
        }

    def task(self, task_id: str) -> Task | None:
        """The assignment, if the task is one of ours."""
        runner = self._runners.get(task_id)
        return runner.task if runner else None

    async def obey(self, tasks: Sequence[Task], files: Sequence[FilePayload] = ()) -> None:
        """Make these the node's tasks: all of them, and no others. `files` are what those to start mount."""
        self._payloads = {file.object_id: file for file in files}
        if self._found is None:
            self._found = dict(await self._engine.tasks())
            self._erase_strangers({task.id for task in tasks})
            self._erase_left_files(tasks)
        assigned = {task.id: task for task in tasks}
        for task_id in [task_id for task_id in self._runners if task_id not in assigned]:
            self._erase(task_id)
        for task in tasks:
            if task.id in self._runners:
                self._runners[task.id].obey(task)
            elif task.id not in self._erasing:
                self._start(task)

    async def close(self) -> None:
        """Stop tending the tasks; their containers run on."""
        await end_duties(*self._running.values(), *self._erasing.values())
        self._running.clear()
        self._runners.clear()

    async def erase_all(self) -> None:
        """End and erase every task: the node leaves the swarm."""
        for task_id in list(self._runners):
            self._erase(task_id)
        await asyncio.gather(*self._erasing.values(), return_exceptions=True)

    def _start(self, task: Task) -> None:
        found = (self._found or {}).pop(task.id, None)
        status = _first_status(task, found)
        runner = TaskRunner(
            task,
            status,
            engine=self._engine,
            files=self._files,
            payloads=lambda: self._payloads,
            readiness=self._readiness,
            networks_carried=self._networks_carried,
            data_plane_reached=self._data_plane_reached,
            report=self._report,
        )
        self._runners[task.id] = runner
        if (status.state, status.still_runs) != (task.status.state, task.status.still_runs):
            self._report(task.id, status)
        self._running[task.id] = start_duty(runner.run(), f"task {task.id}")

    def _erase(self, task_id: str) -> None:
        runner = self._runners.pop(task_id)
        running = self._running.pop(task_id)

        async def erase() -> None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await self._until_done(runner.erase, task_id)

        self._track_erasure(task_id, erase())

    def _erase_strangers(self, assigned: set[str]) -> None:
        for task_id in sorted(set(self._found or {}) - assigned):
            logger.info("erasing a task that is no longer assigned task=%s", task_id)
            self._track_erasure(task_id, self._erase_stranger(task_id))

    def _erase_left_files(self, tasks: Sequence[Task]) -> None:
        live = {task.id for task in tasks if not task.status.state.is_terminal}
        for task_id in self._files.task_ids():
            if task_id not in live:
                self._files.erase(task_id)

    async def _erase_stranger(self, task_id: str) -> None:
        # The assignment is gone with its details; the engine finds the container by the task's id.
        stranger = Task(task_id, "", "", 0, TaskSpec(ContainerSpec("")), 0)

        async def erase() -> None:
            await self._engine.stop(stranger)
            await self._engine.remove(stranger)

        await self._until_done(erase, task_id)

    async def _until_done(self, erase: Callable[[], Coroutine[Any, Any, None]], task_id: str) -> None:
        backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        for _ in range(ERASURE_ATTEMPTS):
            try:
                await erase()
            except OSError as error:
                logger.warning("a container could not be erased yet task=%s error=%s", task_id, error)
                await asyncio.sleep(backoff.next())
            else:
                return
        # It is labelled as ours: the next start of the daemon finds it and tries again.
        logger.error("a container is left behind task=%s", task_id)

    def _track_erasure(self, task_id: str, erasure: Coroutine[Any, Any, None]) -> None:
        future = start_duty(erasure, f"erasure of task {task_id}")
        self._erasing[task_id] = future
        future.add_done_callback(lambda _: self._erasing.pop(task_id, None))


def _first_status(task: Task, found: TaskStatus | None) -> TaskStatus:
    if task.status.state.is_terminal:
        # Stopped by now, or the daemon ended between the report that it failed and the stop.
        return replace(task.status, still_runs=found is not None and not found.state.is_terminal)
    state = resumed_state(task.status.state, found.state if found else None)
    known = found or task.status
    if state is TaskState.FAILED and not known.state.is_terminal:
        return replace(known, state=state, message="finished", error="the container is gone", at=clock.now())
    return replace(known, state=state)
