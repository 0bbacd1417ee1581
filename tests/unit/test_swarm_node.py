"""Two whole nodes in one process, with real consensus and TLS on loopback addresses; engine and kernel are fakes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.api.app import create_app
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import InvalidArgument, Unavailable
from orchestrator.model.gossip import GossipConfiguration
from orchestrator.model.node import Availability
from orchestrator.swarm_node import SwarmNode
from orchestrator.testing.cluster_backend import FakeEngineClient
from orchestrator.testing.fake_data_plane import FakeDataPlane
from orchestrator.testing.fake_engine import FakeEngine
from orchestrator.testing.fake_task_files import FakeTaskFiles

# The consensus listens on a port of its own: runs side by side must not meet.
_OWN = f"{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
FIRST, SECOND = f"127.101.{_OWN}", f"127.102.{_OWN}"
SETTLE_S = 30.0


class NoConnections:
    """Nothing is published here, so nobody asks."""

    async def accepts(self, process_id: int, port: int) -> bool:
        return False

    async def open_count(self, process_id: int) -> int:
        return 0


class NobodyDies:
    """The probing among nodes is tested elsewhere."""

    dead: frozenset[str] = frozenset()

    def follow(self, configuration: GossipConfiguration) -> None:
        return

    async def wait_changed(self) -> None:
        await asyncio.Event().wait()

    async def run(self) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def a_node(directory: Path, data_plane: FakeDataPlane) -> AsyncIterator[SwarmNode]:
    node = SwarmNode(
        directory,
        engine=FakeEngine(),
        data_plane=data_plane,
        connections=NoConnections(),
        failure_detector=NobodyDies(),
        files=FakeTaskFiles(),
        make_api=lambda node: create_app(node, lambda: node.manager, FakeEngineClient(), forwards=False),
    )
    try:
        yield node
    finally:
        await node.close()


async def found(node: SwarmNode, listen: str, advertise: str = FIRST, data_path_port: int = 0) -> None:
    await node.init(
        listen_address=listen,
        advertise_address=advertise,
        data_path_address="",
        data_path_port=data_path_port,
        default_address_pools=(),
        subnet_size=0,
        spec=ClusterSpec(),
        availability=Availability.ACTIVE,
        force_new_cluster=False,
    )


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_S
    while not condition():
        assert time.monotonic() < deadline, "not within the deadline"
        await asyncio.sleep(0.02)


def test_managers_listen_on_the_ports_they_were_told(tmp_path: Path) -> None:
    """docker-py's own tests found every cluster on a port of their choice."""

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            kernel = FakeDataPlane()
            first = await stack.enter_async_context(a_node(tmp_path / "1", FakeDataPlane()))
            second = await stack.enter_async_context(a_node(tmp_path / "2", kernel))
            await found(first, "0.0.0.0:12377", data_path_port=4242)
            assert first.local.managers == ((first.local.node_id, f"{FIRST}:12377"),)
            assert first.manager is not None
            cluster = first.manager.state.cluster
            assert cluster is not None
            assert cluster.data_path_port == 4242
            # Whoever reads the node now may change it: it is ready, and on the mesh.
            (node,) = first.manager.state.nodes.values()
            assert node.is_ready
            assert node.gateways
            await second.join(
                listen_address=f"{SECOND}:12388",
                advertise_address=SECOND,
                data_path_address="",
                remote_addresses=[f"{FIRST}:12377"],
                token=cluster.manager_token,
                availability=Availability.ACTIVE,
            )
            addresses = [f"{FIRST}:12377", f"{SECOND}:12388"]
            assert [address for _, address in sorted(second.local.managers, key=lambda known: known[1])] == addresses
            # What the managers say to one another and to agents finds these ports too.
            await until(lambda: bool(kernel.applied) and kernel.applied[-1].data_path_port == 4242)
            await second.renew_certificate()
            assert second.manager is not None
            listed = await second.manager.ask_leader("GET", "/nodes", {"filters": '{"role":["manager"]}'})
            assert sorted(node["ManagerStatus"]["Addr"] for node in listed) == addresses
            with pytest.raises(Unavailable, match="the leader answered 404 to GET /nodes/none"):
                await second.manager.ask_leader("GET", "/nodes/none", {})
            assert [node.is_ready for node in first.manager.state.nodes.values()] == [True, True]

    asyncio.run(asyncio.wait_for(scenario(), 2 * SETTLE_S))


def test_an_advertised_port_is_the_one_listened_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(tmp_path, FakeDataPlane()) as node:
            with pytest.raises(InvalidArgument, match="must use the port listened on: 12377"):
                await found(node, "0.0.0.0:12377", f"{FIRST}:2377")
            assert not node.local.node_id

    asyncio.run(scenario())
