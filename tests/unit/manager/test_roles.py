"""Demotion and leaving, as the leader does them, over a store of one manager."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from orchestrator.manager import leaving
from orchestrator.manager.leaving import Leaving
from orchestrator.manager.roles import RoleKeeper
from orchestrator.model.cluster import Cluster
from orchestrator.model.container import ContainerSpec
from orchestrator.model.errors import FailedPrecondition, InvalidArgument, Unavailable
from orchestrator.model.node import Node, NodeDescription, NodeRole, NodeSpec, NodeState
from orchestrator.model.service import Service, ServiceSpec, TaskSpec
from orchestrator.model.task import Task, TaskState, TaskStatus
from orchestrator.state import actions as act
from orchestrator.testing.memory_store import MemoryStore

DEADLINE_S = 5.0
SPEC = TaskSpec(ContainerSpec("web:1"))


class Rig:
    """Three managers, the first of which leads, and one worker."""

    def __init__(self) -> None:
        self.store = MemoryStore("10.1.0.1")
        self.removed: list[str] = []
        self.refusals: list[Exception] = []
        self.stubborn: set[str] = set()
        self.voters = ["10.1.0.2", "10.1.0.3"]
        self.keeper = RoleKeeper(self.store, self._remove, lambda: list(self.voters))
        self.leaving = Leaving(self.store, self.keeper.demote)

    async def _remove(self, address: str) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        if address in self.stubborn:
            raise FailedPrecondition("loss of quorum")
        self.removed.append(address)
        if address in self.voters:
            self.voters.remove(address)

    async def found(self) -> None:
        roles = (NodeRole.MANAGER, NodeRole.MANAGER, NodeRole.MANAGER, NodeRole.WORKER)
        await self.store.propose(
            (
                act.CreateCluster(Cluster("c")),
                *(
                    act.AddNode(
                        Node(
                            f"n{number}",
                            NodeSpec(role=role),
                            NodeDescription(f"h{number}"),
                            f"10.1.0.{number}",
                            role=role,
                            state=NodeState.READY,
                        )
                    )
                    for number, role in enumerate(roles, 1)
                ),
            )
        )

    async def want(self, node_id: str, role: NodeRole) -> None:
        node = self.store.state.node(node_id)
        await self.store.propose((act.UpdateNodeSpec(node_id, node.version, replace(node.spec, role=role)),))

    def role(self, node_id: str) -> NodeRole:
        return self.store.state.node(node_id).role


def run(scenario: Callable[[Rig], Awaitable[None]], *, keeping: bool = True) -> None:
    async def live() -> None:
        rig = Rig()
        await rig.found()
        keeper = asyncio.create_task(rig.keeper.run()) if keeping else None
        try:
            async with asyncio.timeout(DEADLINE_S):
                await scenario(rig)
        finally:
            if keeper is not None:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)

    asyncio.run(live())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_a_manager_nobody_wants_is_removed_and_noted() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.want("n2", NodeRole.WORKER)
        await until(lambda: rig.role("n2") is NodeRole.WORKER)
        assert rig.removed == ["10.1.0.2"]

    run(scenario)


def test_the_leader_s_own_turn_comes_last() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.want("n1", NodeRole.WORKER)
        await rig.want("n3", NodeRole.WORKER)
        assert rig.removed == []
        keeper = asyncio.create_task(rig.keeper.run())
        await until(lambda: len(rig.removed) == 2)
        keeper.cancel()
        assert rig.removed == ["10.1.0.3", "10.1.0.1"]

    run(scenario, keeping=False)


def test_a_refused_removal_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.manager.roles.RETRY_INTERVAL_S", 0.001)

    async def scenario(rig: Rig) -> None:
        rig.refusals = [FailedPrecondition("loss of quorum"), Unavailable("no majority")]
        await rig.want("n2", NodeRole.WORKER)
        await until(lambda: rig.role("n2") is NodeRole.WORKER)

    run(scenario)


def test_one_that_cannot_go_yet_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.manager.roles.RETRY_INTERVAL_S", 0.001)

    async def scenario(rig: Rig) -> None:
        rig.stubborn = {"10.1.0.2"}
        await rig.want("n2", NodeRole.WORKER)
        await rig.want("n3", NodeRole.WORKER)
        await until(lambda: rig.role("n3") is NodeRole.WORKER)
        assert rig.role("n2") is NodeRole.MANAGER
        rig.stubborn.clear()
        await until(lambda: rig.role("n2") is NodeRole.WORKER)

    run(scenario)


def test_a_voter_that_is_no_manager_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.manager.roles.RETRY_INTERVAL_S", 0.001)

    async def scenario(rig: Rig) -> None:
        # The node is to be a manager: it has been made a voter, and will ask for the rest again.
        await rig.want("n4", NodeRole.MANAGER)
        rig.voters.append("10.1.0.4")
        rig.store.elect()
        await asyncio.sleep(0.01)
        assert rig.removed == []
        rig.refusals = [Unavailable("no majority")]
        await rig.want("n4", NodeRole.WORKER)
        await until(lambda: rig.removed == ["10.1.0.4"])
        assert rig.role("n4") is NodeRole.WORKER

    run(scenario)


def test_who_does_not_lead_demotes_nobody() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.want("n2", NodeRole.WORKER)
        rig.store.depose()
        keeper = asyncio.create_task(rig.keeper.run())
        await asyncio.sleep(0.01)
        assert rig.removed == []
        rig.store.elect()
        await until(lambda: rig.removed == ["10.1.0.2"])
        keeper.cancel()

    run(scenario, keeping=False)


def test_a_node_is_let_go_when_its_tasks_are_over() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.propose(
            (
                act.CreateService(Service("s", ServiceSpec("web", SPEC), 0)),
                act.CreateTask(Task("t", "s", "web", 1, SPEC, rig.store.state.index + 1)),
                act.AllocateTask("t", ()),
                act.AssignTask("t", "n4"),
                act.ReportTaskStatus("t", TaskStatus(TaskState.RUNNING)),
            )
        )
        going = asyncio.create_task(rig.leaving.let_go("n4"))
        await asyncio.sleep(0.01)
        node = rig.store.state.node("n4")
        assert not going.done()
        assert (node.is_leaving, node.accepts_tasks, node.state) == (True, False, NodeState.READY)
        await rig.store.propose((act.ReportTaskStatus("t", TaskStatus(TaskState.SHUTDOWN)),))
        await going
        assert rig.store.state.node("n4").state is NodeState.DOWN

    run(scenario)


def test_a_node_that_cannot_be_emptied_is_let_go_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "DRAIN_DEADLINE_S", 0.01)

    async def scenario(rig: Rig) -> None:
        await rig.store.propose(
            (
                act.CreateService(Service("s", ServiceSpec("web", SPEC), 0)),
                act.CreateTask(Task("t", "s", "web", 1, SPEC, rig.store.state.index + 1)),
                act.AllocateTask("t", ()),
                act.AssignTask("t", "n4"),
            )
        )
        await rig.leaving.let_go("n4")
        assert rig.store.state.node("n4").state is NodeState.DOWN

    run(scenario)


def test_a_manager_that_leaves_votes_no_more() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.leaving.let_go("n3")
        assert rig.removed == ["10.1.0.3"]
        assert rig.role("n3") is NodeRole.WORKER

    run(scenario, keeping=False)


def test_the_last_manager_is_not_let_go() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.leaving.let_go("n2")
        await rig.leaving.let_go("n3")
        with pytest.raises(FailedPrecondition, match="last manager"):
            await rig.leaving.let_go("n1")

    run(scenario, keeping=False)


def test_a_machine_that_cannot_be_replaced_stays_what_it_was() -> None:
    async def scenario(rig: Rig) -> None:
        rig.stubborn = {"10.1.0.3"}
        with pytest.raises(FailedPrecondition, match="loss of quorum"):
            await rig.leaving.replaced("10.1.0.3", is_there=True)
        node = rig.store.state.node("n3")
        assert (node.is_leaving, node.state, node.role) == (False, NodeState.READY, NodeRole.MANAGER)

    run(scenario, keeping=False)


def test_a_machine_that_joins_anew_ends_what_it_was() -> None:
    async def scenario(rig: Rig) -> None:
        with pytest.raises(InvalidArgument, match="that of node h3, which is up"):
            await rig.leaving.replaced("10.1.0.3", is_there=False)
        assert rig.removed == []
        await rig.leaving.replaced("10.1.0.3", is_there=True)
        before = rig.store.state.node("n3")
        assert (before.is_leaving, before.state, before.role) == (True, NodeState.DOWN, NodeRole.WORKER)
        assert rig.removed == ["10.1.0.3"]
        commits = len(rig.store.batches)
        await rig.leaving.replaced("10.1.0.3", is_there=False)
        await rig.leaving.replaced("10.1.0.99", is_there=False)
        assert len(rig.store.batches) == commits

    run(scenario, keeping=False)
