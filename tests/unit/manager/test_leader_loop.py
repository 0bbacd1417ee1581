"""The loop that turns what the deciders want into committed actions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from orchestrator import clock
from orchestrator.control.plan import Plan, Situation
from orchestrator.manager.leader_loop import PORTION_SIZE, LeaderLoop
from orchestrator.manager.observations import Observations
from orchestrator.model.cluster import Cluster
from orchestrator.model.node import Node, NodeDescription, NodeSpec
from orchestrator.model.session import Heartbeat
from orchestrator.state.actions import AddNode, CreateCluster, DescribeNode
from orchestrator.state.codec import encode_batch
from orchestrator.testing.memory_store import MemoryStore

DEADLINE_S = 5.0


def node(node_id: str) -> Node:
    return Node(node_id, NodeSpec(), NodeDescription(node_id), "10.1.0.9")


class Deciders:
    """Plans prepared by the test, one per call; then nothing."""

    def __init__(self, *plans: Plan) -> None:
        self.plans = list(plans)
        self.situations: list[Situation] = []
        self.called = asyncio.Event()

    def reconcile(self, situation: Situation) -> Plan:
        self.situations.append(situation)
        self.called.set()
        return self.plans.pop(0) if self.plans else Plan()

    async def wait_calls(self, number: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.situations) < number:
                self.called.clear()
                await self.called.wait()


@contextlib.asynccontextmanager
async def running(store: MemoryStore, deciders: Deciders, observations: Observations) -> AsyncIterator[LeaderLoop]:
    loop = LeaderLoop(store, observations, deciders.reconcile)
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def founded() -> MemoryStore:
    store = MemoryStore(clock=clock.now)
    await store.propose((CreateCluster(Cluster("c1")),))
    return store


def check(scenario: Callable[[], object]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_what_the_deciders_want_is_committed_and_they_are_asked_again() -> None:
    async def scenario() -> None:
        store = await founded()
        deciders = Deciders(Plan((AddNode(node("n1")),)))
        async with running(store, deciders, Observations()):
            await deciders.wait_calls(2)
            assert "n1" in store.state.nodes

    check(scenario)


def test_a_refused_plan_takes_no_effect_and_is_decided_anew() -> None:
    async def scenario() -> None:
        store = await founded()
        refused = Plan((AddNode(node("n1")), DescribeNode("unknown", NodeDescription("x"), "10.1.0.2")))
        deciders = Deciders(refused)
        async with running(store, deciders, Observations()):
            await deciders.wait_calls(2)
            assert not store.state.nodes

    check(scenario)


def test_a_plan_is_applied_for_the_time_it_was_decided_at() -> None:
    async def scenario() -> None:
        store = MemoryStore(clock=lambda: 0.0)
        await store.propose((CreateCluster(Cluster("c1")),))
        deciders = Deciders(Plan((AddNode(node("n1")),)))
        async with running(store, deciders, Observations()):
            await deciders.wait_calls(2)
            assert store.state.node("n1").created_at == deciders.situations[0].now

    check(scenario)


def test_a_plan_too_large_for_one_batch_is_committed_in_portions() -> None:
    nodes = [node(f"n{number:04}{'x' * 4000}") for number in range(1500)]

    def missing(situation: Situation) -> Plan:
        return Plan(tuple(AddNode(each) for each in nodes if each.id not in situation.state.nodes))

    async def scenario() -> None:
        store = await founded()
        done = asyncio.Event()
        store.subscribe(lambda: done.set() if len(store.state.nodes) == len(nodes) else None)
        loop = asyncio.create_task(LeaderLoop(store, Observations(), missing).run())
        async with asyncio.timeout(DEADLINE_S):
            await done.wait()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        assert list(store.state.nodes) == [each.id for each in nodes]
        assert max(len(encode_batch(batch)) for batch in store.batches) <= PORTION_SIZE

    check(scenario)


def test_a_plan_that_names_a_time_is_looked_at_again_then() -> None:
    async def scenario() -> None:
        store = await founded()
        soon = clock.now() + 0.05
        deciders = Deciders(Plan(wake_at=soon))
        async with running(store, deciders, Observations()):
            await deciders.wait_calls(2)
            assert deciders.situations[1].now >= soon

    check(scenario)


def test_nobody_decides_without_leading_and_a_new_leader_starts_with_no_observations() -> None:
    async def scenario() -> None:
        store, observations, deciders = await founded(), Observations(), Deciders()
        store.depose()
        async with running(store, deciders, observations):
            await asyncio.sleep(0)
            assert not deciders.situations
            observations.heard("n1", Heartbeat(3), clock.now())
            store.elect()
            await deciders.wait_calls(1)
            assert not deciders.situations[0].observations
            assert deciders.situations[0].leading_since <= clock.now()

    check(scenario)


def test_a_fault_in_a_decider_is_logged_and_decided_again(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Deciders):
        def reconcile(self, situation: Situation) -> Plan:
            plan = super().reconcile(situation)
            if len(self.situations) == 1:
                raise RuntimeError("a fault")
            return plan

    async def scenario() -> None:
        store = await founded()
        deciders = Faulty(Plan(), Plan((AddNode(node("n1")),)))
        async with running(store, deciders, Observations()):
            await deciders.wait_calls(3)
            assert "n1" in store.state.nodes

    check(scenario)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.getMessage() == "deciding failed"


@pytest.mark.parametrize("steps", range(6))
def test_it_ends_when_told_to_though_something_changed_at_that_moment(steps: int) -> None:
    async def scenario() -> None:
        deciders, store = Deciders(Plan(wake_at=clock.now() + 2 * DEADLINE_S)), await founded()
        loop = LeaderLoop(store, Observations(), deciders.reconcile)
        task = asyncio.create_task(loop.run())
        await deciders.wait_calls(1)
        await asyncio.sleep(0)
        loop.wake()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        ended, _ = await asyncio.wait([task], timeout=1.0)
        assert ended

    asyncio.run(scenario())


def test_what_keeps_a_decider_from_its_work_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        deciders = Deciders(Plan(problems=("no way",)), Plan(problems=("no way",)))
        async with running(await founded(), deciders, Observations()) as loop:
            await deciders.wait_calls(1)
            loop.wake()
            await deciders.wait_calls(2)

    check(scenario)
    assert [record.getMessage() for record in caplog.records] == ["a decider was passed over: no way"]
