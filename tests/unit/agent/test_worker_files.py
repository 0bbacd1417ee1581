"""A task has its secrets from before its container is made until it ends, and no longer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from orchestrator.agent.worker import Worker
from orchestrator.model.container import ContainerSpec, FileReference
from orchestrator.model.files import FilePayload
from orchestrator.model.service import TaskSpec
from orchestrator.model.task import EndpointState, Task, TaskState, TaskStatus
from orchestrator.testing.fake_engine import FakeEngine
from orchestrator.testing.fake_task_files import FakeTaskFiles

SPEC = TaskSpec(ContainerSpec("web:1", secrets=(FileReference("s1", "key", "key"),)))
TASK = Task("t1", "s", "web", 1, SPEC, 1, node_id="n1", status=TaskStatus(TaskState.ASSIGNED))
SECRET = FilePayload("s1", b"payload")


class NoConnections:
    """Nothing is published here, so nobody asks."""

    async def accepts(self, process_id: int, port: int | None = None) -> bool:
        return False

    async def open_count(self, process_id: int) -> int:
        return 0


class Rig:
    """A worker on a fake engine; `until` waits for what it reports."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.files = FakeTaskFiles()
        self.states: list[TaskState] = []
        self._reported = asyncio.Event()
        self.worker = Worker(
            self.engine,
            NoConnections(),
            self.files,
            networks_carried=self._carried,
            data_plane_reached=self._reached,
            report=self._report,
        )

    async def until(self, state: TaskState) -> None:
        while state not in self.states:
            self._reported.clear()
            await self._reported.wait()

    async def _carried(self, task: Task) -> None:
        return

    async def _reached(self, revision: int) -> None:
        return

    def _report(self, task_id: str, status: TaskStatus) -> None:
        self.states.append(status.state)
        self._reported.set()


def run(scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def bounded() -> None:
        rig = Rig()
        async with asyncio.timeout(5):
            try:
                await scenario(rig)
            finally:
                await rig.worker.close()

    asyncio.run(bounded())


def test_files_outlast_their_assignment_but_not_their_task() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.worker.obey((TASK,), (SECRET,))
        await rig.until(TaskState.RUNNING)
        # The managers send a running task's secrets no more.
        await rig.worker.obey((TASK,), ())
        assert rig.files.laid_out == {"t1": {"s1": b"payload"}}
        await rig.engine.end("t1", exit_code=0)
        await rig.until(TaskState.COMPLETE)
        assert rig.files.laid_out == {}

    run(scenario)


def test_a_stopped_task_s_files_are_erased() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.worker.obey((TASK,), (SECRET,))
        await rig.until(TaskState.RUNNING)
        stopped = replace(TASK, desired_state=TaskState.SHUTDOWN, endpoint=EndpointState.RELEASED)
        await rig.worker.obey((stopped,), ())
        await rig.until(TaskState.SHUTDOWN)
        assert rig.files.laid_out == {}

    run(scenario)


def test_a_task_without_its_secret_is_rejected() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.worker.obey((TASK,), ())
        await rig.until(TaskState.REJECTED)
        assert rig.files.laid_out == {}
        assert ("prepare", "t1") not in rig.engine.calls

    run(scenario)


def test_a_restarted_agent_erases_what_no_live_task_owns() -> None:
    async def scenario(rig: Rig) -> None:
        rig.files.laid_out = {"gone": {"s1": b"x"}, "t1": {"s1": b"x"}, "over": {"s1": b"x"}}
        over = replace(TASK, id="over", status=TaskStatus(TaskState.SHUTDOWN), desired_state=TaskState.SHUTDOWN)
        await rig.worker.obey((TASK, over), (SECRET,))
        assert rig.files.task_ids() == ["t1"]

    run(scenario)
