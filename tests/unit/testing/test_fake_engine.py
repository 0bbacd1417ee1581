"""The fake engine passes the suite of the real one, and does what a test tells it."""

import asyncio

import pytest

from orchestrator.model.container import ContainerSpec
from orchestrator.model.service import TaskSpec
from orchestrator.model.task import Task, TaskState
from orchestrator.testing.conformance_engine import CHECKS, EXIT_CODE, LOG, Behaviour, Check, run_check
from orchestrator.testing.fake_engine import FakeEngine, Script

SCRIPTS: dict[str, Script] = {
    Behaviour.ENDS_WELL: Script(exit_code=0),
    Behaviour.ENDS_BADLY: Script(exit_code=EXIT_CODE),
    Behaviour.HAS_NO_IMAGE: Script(rejection=f"No such image: {Behaviour.HAS_NO_IMAGE}"),
    Behaviour.HAS_NO_COMMAND: Script(start_failure="no such file or directory"),
    Behaviour.BECOMES_HEALTHY: Script(has_healthcheck=True, is_healthy=True),
    Behaviour.BECOMES_UNHEALTHY: Script(has_healthcheck=True, is_healthy=False),
    Behaviour.TALKS: Script(exit_code=0, log=tuple((stream, text.encode()) for stream, text in LOG)),
}


class FakeBed:
    """`EngineBed` in memory: the image's name is the behaviour."""

    def __init__(self) -> None:
        self.engine = FakeEngine(SCRIPTS)

    def restarted(self) -> FakeEngine:
        return FakeEngine(SCRIPTS, containers=self.engine.containers)

    def task(self, behaviour: Behaviour) -> Task:
        return Task("task-id", "service-id", "web", 1, TaskSpec(ContainerSpec(behaviour)), 1)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conforms(check: Check) -> None:
    asyncio.run(run_check(check, FakeBed()))


def test_a_test_ends_a_container_and_reads_the_calls() -> None:
    async def scenario() -> None:
        bed = FakeBed()
        task = bed.task(Behaviour.RUNS)
        await bed.engine.prepare(task)
        await bed.engine.start(task)
        end = asyncio.ensure_future(bed.engine.wait_exit(task))
        await bed.engine.end(task.id, 9)
        assert (await end).state is TaskState.FAILED
        assert bed.engine.calls == [("prepare", "task-id"), ("start", "task-id")]

    asyncio.run(scenario())
