"""The worker against an engine in memory: what becomes of assignments."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from orchestrator.agent.worker import Worker
from orchestrator.model.container import ContainerSpec
from orchestrator.model.service import NetworkReference, PortConfig, TaskSpec
from orchestrator.model.task import EndpointState, Task, TaskState, TaskStatus
from orchestrator.testing.fake_data_plane import FakeConnections
from orchestrator.testing.fake_engine import FakeEngine, Script
from orchestrator.testing.fake_task_files import FakeTaskFiles

DEADLINE_S = 5.0
S = TaskState


def task(image: str = "web:1", **changes: object) -> Task:
    assigned = Task(
        "t1", "s1", "web", 1, TaskSpec(ContainerSpec(image)), 1, node_id="n1", status=TaskStatus(S.ASSIGNED)
    )
    return replace(assigned, **changes)  # type: ignore[arg-type]


def released(wanted: Task) -> Task:
    return replace(wanted, desired_state=S.SHUTDOWN, endpoint=EndpointState.RELEASED)


ON_A_NETWORK = TaskSpec(ContainerSpec("web:1"), networks=(NetworkReference("net1"),))


class Node:
    """A worker with fakes around it."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.connections = FakeConnections()
        self.reported: list[TaskState] = []
        self.status: dict[str, TaskStatus] = {}
        self._changed = asyncio.Event()
        self.revision = 0
        self.worker = Worker(
            engine,
            self.connections,
            FakeTaskFiles(),
            networks_carried=self._carried,
            data_plane_reached=self._reached,
            report=self._report,
        )

    async def _carried(self, _: Task) -> None:
        return

    async def _reached(self, revision: int) -> None:
        await self.until(lambda: self.revision >= revision)

    def _report(self, task_id: str, status: TaskStatus) -> None:
        if not self.reported or self.reported[-1] is not status.state:
            self.reported.append(status.state)
        self.status[task_id] = status
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0)

    async def until_state(self, state: TaskState) -> None:
        await self.until(lambda: "t1" in self.status and self.status["t1"].state is state)


@contextlib.asynccontextmanager
async def node(scripts: dict[str, Script] | None = None, engine: FakeEngine | None = None) -> AsyncIterator[Node]:
    tended = Node(engine or FakeEngine(scripts))
    try:
        yield tended
    finally:
        await tended.worker.close()


UNHEALTHY_LATER = {"web:1": Script(has_healthcheck=True, is_healthy=True)}


@contextlib.asynccontextmanager
async def unhealthy_node() -> AsyncIterator[Node]:
    """A node whose task ran well and then turned unhealthy, which it has just reported."""
    async with node(UNHEALTHY_LATER) as tended:
        await tended.worker.obey([task()])
        await tended.until_state(S.RUNNING)
        await tended.engine.set_health("t1", healthy=False)
        await tended.until_state(S.FAILED)
        yield tended


def test_a_task_is_prepared_started_and_running() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task()])
            await n1.until_state(S.RUNNING)
            assert n1.reported == [S.PREPARING, S.READY, S.STARTING, S.RUNNING]

    asyncio.run(scenario())


def test_a_task_wanted_ready_waits_prepared_until_it_is_wanted_running() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task(desired_state=S.READY)])
            await n1.until_state(S.READY)
            assert ("start", "t1") not in n1.engine.calls
            await n1.worker.obey([task(desired_state=S.RUNNING)])
            await n1.until_state(S.RUNNING)

    asyncio.run(scenario())


def test_a_pull_outlasts_the_order_to_run_and_ends_with_the_order_to_stop() -> None:
    async def scenario() -> None:
        async with node({"web:1": Script(is_pulled_for_ever=True)}) as n1:
            await n1.worker.obey([task(desired_state=S.READY)])
            await n1.until_state(S.PREPARING)
            await n1.worker.obey([task(desired_state=S.RUNNING)])
            await asyncio.sleep(0.05)
            assert n1.status["t1"].state is S.PREPARING
            await n1.worker.obey([released(task())])
            await n1.until_state(S.SHUTDOWN)
            assert ("prepare", "t1") not in n1.engine.calls

    asyncio.run(scenario())


def test_a_published_port_must_accept_before_the_task_counts_as_running() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task(ports=(PortConfig(8080, 80),))])
            await n1.until_state(S.STARTING)
            await asyncio.sleep(0.05)
            assert n1.status["t1"].state is S.STARTING
            n1.connections.listening.add((n1.status["t1"].process_id, 8080))
            await n1.until_state(S.RUNNING)

    asyncio.run(scenario())


def test_the_readiness_switch_opens_the_gate() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task(ports=(PortConfig(8080, 80),), labels=(("swarm.readiness", "off"),))])
            await n1.until_state(S.RUNNING)

    asyncio.run(scenario())


def test_a_port_that_never_accepts_fails_the_task_and_says_so() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task(ports=(PortConfig(8080, 80),), labels=(("swarm.readiness-timeout", "30ms"),))])
            await n1.until_state(S.FAILED)
            assert n1.status["t1"].error == "published port 8080/tcp accepted no connection within 0.03s"
            assert ("stop", "t1") in n1.engine.calls

    asyncio.run(scenario())


def test_a_task_that_is_reached_by_name_alone_must_accept_on_any_port() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task(spec=ON_A_NETWORK)])
            await n1.until_state(S.STARTING)
            await asyncio.sleep(0.05)
            assert n1.status["t1"].state is S.STARTING
            n1.connections.listening.add((n1.status["t1"].process_id, 1234))
            await n1.until_state(S.RUNNING)

    asyncio.run(scenario())


@pytest.mark.parametrize("label", [("swarm.readiness", "off"), ("swarm.readiness-timeout", "30ms")])
def test_a_task_on_a_network_that_never_listens_runs_all_the_same(label: tuple[str, str]) -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task(spec=ON_A_NETWORK, labels=(label,))])
            await n1.until_state(S.RUNNING)

    asyncio.run(scenario())


def test_with_a_healthcheck_that_alone_decides() -> None:
    async def scenario() -> None:
        async with node({"web:1": Script(has_healthcheck=True)}) as n1:
            await n1.worker.obey([task(ports=(PortConfig(8080, 80),))])
            await n1.until_state(S.STARTING)
            await n1.engine.set_health("t1", healthy=True)
            await n1.until_state(S.RUNNING)

    asyncio.run(scenario())


def test_a_stop_is_obeyed_only_when_the_endpoint_is_released() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task()])
            await n1.until_state(S.RUNNING)
            await n1.worker.obey([task(desired_state=S.SHUTDOWN, endpoint=EndpointState.DRAINING)])
            await asyncio.sleep(0.02)
            assert ("stop", "t1") not in n1.engine.calls
            await n1.worker.obey([released(task())])
            await n1.until_state(S.SHUTDOWN)
            assert ("stop", "t1") in n1.engine.calls

    asyncio.run(scenario())


def test_a_container_that_ends_by_itself_is_complete_or_failed() -> None:
    async def scenario() -> None:
        for code, state in ((0, S.COMPLETE), (3, S.FAILED)):
            async with node() as n1:
                await n1.worker.obey([task()])
                await n1.until_state(S.RUNNING)
                await n1.engine.end("t1", code)
                await n1.until_state(state)
                assert n1.status["t1"].exit_code == code

    asyncio.run(scenario())


def test_what_cannot_be_created_is_rejected() -> None:
    async def scenario() -> None:
        async with node({"web:1": Script(rejection="No such image: web:1")}) as n1:
            await n1.worker.obey([task()])
            await n1.until_state(S.REJECTED)
            assert n1.status["t1"].error == "No such image: web:1"

    asyncio.run(scenario())


def test_a_task_that_is_no_longer_assigned_is_stopped_and_erased() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task()])
            await n1.until_state(S.RUNNING)
            await n1.worker.obey([])
            await n1.until(lambda: not n1.engine.containers)
            assert n1.engine.calls[-2:] == [("stop", "t1"), ("remove", "t1")]

    asyncio.run(scenario())


def test_a_restarted_worker_takes_up_running_tasks_untouched_and_erases_strangers() -> None:
    async def scenario() -> None:
        async with node() as before:
            await before.worker.obey([task(), replace(task(), id="t2")])
            await before.until(
                lambda: all(s.state is S.RUNNING for s in before.status.values()) and len(before.status) == 2
            )
        engine = FakeEngine(containers=before.engine.containers)
        async with node(engine=engine) as after:
            await after.worker.obey([task(status=TaskStatus(S.RUNNING))])
            await after.until(lambda: list(engine.containers) == ["t1"])
            assert [call for call in engine.calls if call[1] == "t1"] == []
            assert dict(after.worker.statuses)["t1"].state is S.RUNNING

    asyncio.run(scenario())


def test_a_restarted_worker_reports_a_running_task_that_is_gone_as_failed() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task(status=TaskStatus(S.RUNNING, container_id="gone"))])
            await n1.until_state(S.FAILED)
            assert n1.status["t1"].error == "the container is gone"

    asyncio.run(scenario())


def test_a_stop_waits_until_this_node_itself_no_longer_balances_to_the_task() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task()])
            await n1.until_state(S.RUNNING)
            await n1.worker.obey([replace(released(task()), withdrawn_revision=9)])
            await asyncio.sleep(0.02)
            assert ("stop", "t1") not in n1.engine.calls
            n1.revision = 9
            await n1.until_state(S.SHUTDOWN)

    asyncio.run(scenario())


def test_an_unhealthy_task_is_reported_first_and_stopped_when_the_managers_release_it() -> None:
    async def scenario() -> None:
        async with unhealthy_node() as n1:
            failed = n1.status["t1"]
            assert (failed.still_runs, failed.process_id) == (True, 1)
            assert dict(n1.worker.process_ids()) == {"t1": 1}
            # The managers have heard, and want it shut down at once: others still send to it.
            leaving = replace(released(task(status=failed)), endpoint=EndpointState.WITHDRAWING)
            await n1.worker.obey([leaving])
            await asyncio.sleep(0.02)
            assert ("stop", "t1") not in n1.engine.calls
            await n1.worker.obey([replace(leaving, endpoint=EndpointState.RELEASED)])
            await n1.until(lambda: not n1.status["t1"].still_runs)
            assert ("stop", "t1") in n1.engine.calls
            assert n1.status["t1"].error == "dockerexec: unhealthy container"

    asyncio.run(scenario())


def test_an_unhealthy_task_that_ends_by_itself_is_not_waited_for() -> None:
    async def scenario() -> None:
        async with unhealthy_node() as n1:
            await n1.engine.end("t1", 1)
            await n1.until(lambda: not n1.status["t1"].still_runs)
            assert (n1.status["t1"].state, n1.status["t1"].process_id) == (S.FAILED, 0)

    asyncio.run(scenario())


def test_a_restarted_worker_stops_an_unhealthy_task_that_was_released_meanwhile() -> None:
    async def scenario() -> None:
        async with unhealthy_node() as before:
            failed = before.status["t1"]
        engine = FakeEngine(UNHEALTHY_LATER, containers=before.engine.containers)
        async with node(engine=engine) as after:
            await after.worker.obey([replace(released(task()), status=failed)])
            await after.until(lambda: ("stop", "t1") in engine.calls)
            await after.until(lambda: not dict(after.worker.statuses)["t1"].still_runs)

    asyncio.run(scenario())


def test_a_restarted_worker_tells_of_an_unhealthy_task_that_has_ended_meanwhile() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task(status=TaskStatus(S.FAILED, error="unhealthy", still_runs=True))])
            await n1.until_state(S.FAILED)
            assert (n1.status["t1"].error, n1.status["t1"].still_runs) == ("unhealthy", False)

    asyncio.run(scenario())


def test_an_engine_that_does_not_answer_is_asked_again_and_nothing_is_made_up() -> None:
    async def scenario() -> None:
        async with node() as n1:
            n1.engine.fail_next("wait_exit", 2)
            n1.engine.fail_next("stop", 1)
            await n1.worker.obey([task()])
            await n1.until_state(S.RUNNING)
            await n1.worker.obey([released(task())])
            await n1.until_state(S.SHUTDOWN)
            assert S.FAILED not in n1.reported

    asyncio.run(scenario())


def test_an_erasure_is_tried_until_it_works() -> None:
    async def scenario() -> None:
        async with node() as n1:
            await n1.worker.obey([task()])
            await n1.until_state(S.RUNNING)
            n1.engine.fail_next("remove", 1)
            await n1.worker.obey([])
            await n1.until(lambda: not n1.engine.containers)

    asyncio.run(scenario())
