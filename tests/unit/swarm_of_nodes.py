"""Whole nodes in one event loop: real managers, agents, TLS and Raft on 127.x.y.z, with engines in memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from orchestrator.api.app import create_app
from orchestrator.api.backend import Addresses, InitOptions, JoinOptions
from orchestrator.interfaces import Adapters
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.gossip import GossipConfiguration
from orchestrator.model.node import NodeState
from orchestrator.swarm_node import SwarmNode
from orchestrator.testing.cluster_backend import FakeEngineClient
from orchestrator.testing.fake_data_plane import FakeConnections, FakeDataPlane
from orchestrator.testing.fake_engine import FakeEngine
from orchestrator.testing.fake_task_files import FakeTaskFiles

DEADLINE_S = 20.0


class NobodyDies:
    """The probing among nodes is tested elsewhere."""

    dead: frozenset[str] = frozenset()

    def follow(self, configuration: GossipConfiguration) -> None:
        """Nobody."""

    async def wait_changed(self) -> None:
        """Never."""
        await asyncio.Event().wait()

    async def run(self) -> None:
        """Do nothing."""
        await asyncio.Event().wait()


def fake_adapters(*, hostname: str = "n1", data_plane: FakeDataPlane | None = None) -> Adapters:
    """A node that acts in memory."""
    return Adapters(
        engine=FakeEngine(hostname=hostname),
        data_plane=data_plane or FakeDataPlane(),
        failure_detector=NobodyDies(),
        connections=FakeConnections(),
        files=FakeTaskFiles(),
    )


class Nodes:
    """Nodes that found and join one cluster; all are closed at the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # The ports are swarm mode's own: two test runs on one machine must not share an address.
        pid = os.getpid()
        self._net = f"127.{100 + pid % 100}.{pid // 100 % 250}"
        self.running: dict[int, SwarmNode] = {}

    def address(self, number: int) -> str:
        """Of that node."""
        return f"{self._net}.{number}"

    def directory(self, number: int) -> Path:
        """What that node keeps."""
        return self._directory / str(number)

    def make(self, number: int) -> SwarmNode:
        """The node's daemon, as it is after a start of the process."""
        client = FakeEngineClient()
        node = SwarmNode(
            self.directory(number),
            fake_adapters(hostname=f"n{number}"),
            make_api=lambda node: create_app(node, lambda: node.manager, client, forwards=False),
        )
        self.running[number] = node
        return node

    async def found(self, spec: ClusterSpec | None = None) -> SwarmNode:
        """Node 1, the first manager."""
        node = self.make(1)
        addresses = Addresses(listen=f"{self.address(1)}:2377", advertise=self.address(1))
        await node.init(InitOptions(addresses=addresses, spec=spec or ClusterSpec()))
        return node

    async def join(self, number: int, token: str) -> SwarmNode:
        """A further node. Raises as `SwarmNode.join`."""
        node = self.make(number)
        await self.ask_to_join(node, number, token)
        return node

    async def ask_to_join(self, node: SwarmNode, number: int, token: str) -> None:
        """Let the node join under that number's address. Raises as `SwarmNode.join`."""
        addresses = Addresses(listen=f"{self.address(number)}:2377", advertise=self.address(number))
        await node.join(JoinOptions(addresses=addresses, remote_managers=(f"{self.address(1)}:2377",), token=token))

    async def restart(self, number: int) -> SwarmNode:
        """End the node's daemon and start another over the same directory."""
        await self.running[number].close()
        node = self.make(number)
        await node.start()
        return node


@contextlib.asynccontextmanager
async def nodes(directory: Path) -> AsyncIterator[Nodes]:
    """A rig whose nodes end with the block."""
    rig = Nodes(directory)
    try:
        async with asyncio.timeout(3 * DEADLINE_S):
            yield rig
    finally:
        for node in reversed(rig.running.values()):
            await node.close()


def cluster_of(node: SwarmNode) -> Cluster:
    """The cluster as this manager has it."""
    assert node.manager is not None
    cluster = node.manager.state.cluster
    assert cluster is not None
    return cluster


def ready(node: SwarmNode) -> int:
    """How many nodes are ready, as this manager has it."""
    assert node.manager is not None
    return sum(each.state is NodeState.READY for each in node.manager.state.nodes.values())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)
