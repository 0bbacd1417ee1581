"""What a node says of its data plane, and when."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from orchestrator.agent.network_follower import NetworkFollower
from orchestrator.model.container import ContainerSpec
from orchestrator.model.network import AttachedNetwork, BalancedService, Endpoint, NetworkConfiguration
from orchestrator.model.service import TaskSpec
from orchestrator.model.session import Heartbeat
from orchestrator.model.task import NetworkAttachment, Task
from orchestrator.testing.fake_data_plane import FakeConnections, FakeDataPlane

DEADLINE_S = 5.0


def configuration(
    revision: int, *, draining: tuple[str, ...] = (), networks: tuple[str, ...] = (), gateway: str = "10.0.0.2"
) -> NetworkConfiguration:
    endpoints = tuple(Endpoint(task_id, "web.1", "n1", "10.0.0.9") for task_id in draining)
    return NetworkConfiguration(
        revision,
        networks=tuple(AttachedNetwork(n, n, "10.0.0.0/24", 4096, gateway) for n in networks),
        services=(BalancedService("s1", "web", (), (), endpoints),),
    )


class Node:
    """A follower with fakes around it."""

    def __init__(self) -> None:
        self.data_plane = FakeDataPlane()
        self.connections = FakeConnections()
        self.process_ids: dict[str, int] = {}
        self.said: list[Heartbeat] = []
        self._changed = asyncio.Event()
        self.follower = NetworkFollower(
            self.data_plane, self.connections, process_ids=lambda: self.process_ids, progressed=self._progressed
        )

    def _progressed(self) -> None:
        self.said.append(self.follower.progress)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def carry(self, wanted: NetworkConfiguration) -> None:
        """Follow it until it is said to be in force."""
        self.follower.follow(wanted)
        await self.until(lambda: self.follower.progress.revision == wanted.revision)

    async def __aenter__(self) -> "Node":
        self._running = asyncio.create_task(self.follower.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


def test_a_revision_is_said_only_once_the_kernel_has_it() -> None:
    async def scenario() -> None:
        async with Node() as node:
            node.data_plane.gate = asyncio.Event()
            node.follower.follow(configuration(1))
            await asyncio.sleep(0)
            assert node.follower.progress.revision == 0
            node.data_plane.gate.set()
            await node.until(lambda: node.follower.progress.revision == 1)

    asyncio.run(scenario())


def test_configurations_that_were_overtaken_are_skipped() -> None:
    async def scenario() -> None:
        async with Node() as node:
            node.data_plane.gate = asyncio.Event()
            for revision in (1, 2, 3):
                node.follower.follow(configuration(revision))
            node.data_plane.gate.set()
            await node.until(lambda: node.follower.progress.revision == 3)
            assert [applied.revision for applied in node.data_plane.applied] == [3]

    asyncio.run(scenario())


def test_a_refusal_by_the_kernel_is_not_acknowledged_but_tried_again() -> None:
    async def scenario() -> None:
        async with Node() as node:
            node.data_plane.refusals = 1
            await node.carry(configuration(1))
            assert [heartbeat.revision for heartbeat in node.said] == [1]

    asyncio.run(scenario())


def test_connections_to_a_withdrawn_task_are_said_until_they_are_gone() -> None:
    async def scenario() -> None:
        async with Node() as node:
            node.data_plane.open["t1"] = 2
            node.process_ids["t1"] = 77
            node.connections.open[77] = 3
            node.follower.follow(configuration(1, draining=("t1",)))
            # The two that came in at this node itself are among the three.
            await node.until(lambda: node.follower.progress == Heartbeat(1, (("t1", 3),)))
            node.data_plane.open.clear()
            node.connections.open.clear()
            await node.until(lambda: node.follower.progress == Heartbeat(1, ()))

    asyncio.run(scenario())


def attached() -> Task:
    """A task on the network `net`."""
    task = Task("t1", "s1", "web", 1, TaskSpec(ContainerSpec("x")), 1)
    return replace(task, attachments=(NetworkAttachment("net", "10.0.0.9"),))


def test_a_task_waits_until_the_node_carries_its_networks() -> None:
    async def scenario() -> None:
        async with Node() as node:
            waiting = asyncio.create_task(node.follower.wait_carried(attached()))
            await node.carry(configuration(1))
            assert not waiting.done()
            node.follower.follow(configuration(2, networks=("net",)))
            await asyncio.wait_for(waiting, DEADLINE_S)

    asyncio.run(scenario())


def test_a_task_does_not_join_a_network_that_is_about_to_be_replaced() -> None:
    """The node has it still from before, with a gateway that it has given back."""

    async def scenario() -> None:
        async with Node() as node:
            await node.carry(configuration(1, networks=("net",)))
            node.data_plane.gate = asyncio.Event()
            node.follower.follow(configuration(3, networks=("net",), gateway="10.0.0.7"))
            waiting = asyncio.create_task(node.follower.wait_carried(attached()))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            node.data_plane.gate.set()
            await asyncio.wait_for(waiting, DEADLINE_S)

    asyncio.run(scenario())


def test_a_task_waits_for_a_network_that_the_engine_refuses_and_it_is_asked_again() -> None:
    async def scenario() -> None:
        async with Node() as node:
            node.data_plane.refused_networks = frozenset({"net"})
            # The other nodes need not wait for it: the revision is in force.
            await node.carry(configuration(1, networks=("net",)))
            waiting = asyncio.create_task(node.follower.wait_carried(attached()))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            node.data_plane.refused_networks = frozenset()
            await asyncio.wait_for(waiting, DEADLINE_S)

    asyncio.run(scenario())


def test_a_refused_network_is_not_asked_for_at_the_pace_of_the_drain() -> None:
    async def scenario() -> None:
        async with Node() as node:
            node.data_plane.refused_networks = frozenset({"net"})
            node.data_plane.open["t1"] = 1
            await node.carry(configuration(1, draining=("t1",), networks=("net",)))
            for count in range(2, 4):
                node.data_plane.open["t1"] = count
                await node.until(lambda count=count: node.follower.progress.flows == (("t1", count),))  # type: ignore[misc]
            assert len(node.data_plane.applied) == 1

    asyncio.run(scenario())
