"""Following a service's logs: tasks come and go, the stream goes on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from orchestrator.api.log_follower import LogFollower
from orchestrator.model.container import ContainerSpec
from orchestrator.model.service import Service, ServiceSpec, TaskSpec
from orchestrator.model.session import LogFrame, LogRequest
from orchestrator.model.task import Task, TaskState, TaskStatus
from orchestrator.state import actions as act
from orchestrator.testing.cluster_backend import FakeClusterBackend, cluster_of_one

SPEC = TaskSpec(ContainerSpec("web:1"))


class Cluster:
    """A cluster whose tasks write what the test says."""

    def __init__(self) -> None:
        self.backend: FakeClusterBackend = cluster_of_one()
        self.written: dict[str, asyncio.Queue[LogFrame]] = {}
        self.asked: list[LogRequest] = []
        self.backend.apply(act.CreateService(Service("s", ServiceSpec("web", SPEC), 0)))
        self.backend.logs = self.logs  # type: ignore[method-assign]

    async def logs(self, requests: Sequence[LogRequest]) -> AsyncIterator[LogFrame]:
        (request,) = requests
        self.asked.append(request)
        while True:
            frame = await self.written[request.task_id].get()
            yield replace(frame, number=request.number)
            if frame.end:
                return

    def start(self, task_id: str, state: TaskState = TaskState.RUNNING) -> None:
        self.written[task_id] = asyncio.Queue()
        version = self.backend.state.service("s").spec_version
        self.backend.apply(
            act.CreateTask(Task(task_id, "s", "web", 1, SPEC, version)),
            act.AllocateTask(task_id, ()),
            act.AssignTask(task_id, self.backend.leader_node_id or ""),
            act.ReportTaskStatus(task_id, TaskStatus(state)),
        )

    def write(self, task_id: str, text: str = "", *, end: bool = False) -> None:
        self.written[task_id].put_nowait(LogFrame(0, 1, text, end))

    def follow(self) -> AsyncIterator[LogFrame]:
        options = LogRequest(0, "", follow=True, tail="1")
        return LogFollower(
            self.backend, "s", options, lambda number, task: replace(options, number=number, task_id=task.id)
        ).frames()


def run(scenario: Callable[[Cluster], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await scenario(Cluster())

    asyncio.run(bounded())


def test_a_task_made_later_is_read_from_its_first_line() -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.start("t1")
        frames = cluster.follow()
        cluster.write("t1", "one")
        assert (await anext(frames)).data == "one"
        waiting = asyncio.ensure_future(anext(frames))
        cluster.start("t2", TaskState.PREPARING)
        cluster.write("t2", "two")
        await asyncio.sleep(0.01)
        assert not waiting.done()
        cluster.backend.apply(act.ReportTaskStatus("t2", TaskStatus(TaskState.STARTING)))
        frame = await waiting
        assert (frame.number, frame.data) == (1, "two")
        assert [(request.task_id, request.tail) for request in cluster.asked] == [("t1", "1"), ("t2", "all")]

    run(scenario)


def test_it_ends_when_the_service_is_gone_and_its_logs_have_ended() -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.start("t1")
        reading = asyncio.ensure_future(_texts(cluster.follow()))
        await asyncio.sleep(0)
        cluster.backend.apply(act.RemoveService("s"))
        cluster.write("t1", "last words")
        cluster.write("t1", end=True)
        assert await reading == ["last words", ""]

    run(scenario)


def test_it_ends_when_another_manager_leads() -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.start("t1")
        reading = asyncio.ensure_future(_texts(cluster.follow()))
        await asyncio.sleep(0)
        cluster.backend.is_leader = False
        cluster.start("t2")
        assert await reading == []
        assert cluster.backend.subscribers == []

    run(scenario)


def test_a_log_that_fails_ends_it_with_its_error() -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.start("t1")
        reading = asyncio.ensure_future(_texts(cluster.follow()))
        cluster.start("t2")
        del cluster.written["t2"]
        with pytest.raises(KeyError):
            await reading

    run(scenario)


async def _texts(frames: AsyncIterator[LogFrame]) -> list[str]:
    return [frame.data async for frame in frames]
