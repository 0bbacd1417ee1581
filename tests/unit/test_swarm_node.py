"""Two whole nodes in one process, with real consensus and TLS on loopback addresses; engine and kernel are fakes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.api.app import create_app
from orchestrator.api.backend import Addresses, InitOptions, JoinOptions
from orchestrator.model.errors import InvalidArgument, Unavailable
from orchestrator.swarm_node import SwarmNode
from orchestrator.testing.cluster_backend import FakeEngineClient
from orchestrator.testing.fake_data_plane import FakeDataPlane
from tests.unit.swarm_of_nodes import DEADLINE_S, fake_adapters, until

# The consensus listens on a port of its own: runs side by side must not meet.
_OWN = f"{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
FIRST, SECOND = f"127.101.{_OWN}", f"127.102.{_OWN}"


@asynccontextmanager
async def a_node(directory: Path, data_plane: FakeDataPlane) -> AsyncIterator[SwarmNode]:
    node = SwarmNode(
        directory,
        fake_adapters(data_plane=data_plane),
        make_api=lambda node: create_app(node, lambda: node.manager, FakeEngineClient(), forwards=False),
    )
    try:
        yield node
    finally:
        await node.close()


async def found(node: SwarmNode, listen: str, advertise: str = FIRST, data_path_port: int = 0) -> None:
    addresses = Addresses(listen=listen, advertise=advertise)
    await node.init(InitOptions(addresses=addresses, data_path_port=data_path_port))


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
                JoinOptions(
                    addresses=Addresses(listen=f"{SECOND}:12388", advertise=SECOND),
                    remote_managers=(f"{FIRST}:12377",),
                    token=cluster.manager_token,
                )
            )
            addresses = [f"{FIRST}:12377", f"{SECOND}:12388"]
            assert [address for _, address in sorted(second.local.managers, key=lambda known: known[1])] == addresses
            # What the managers say to one another and to agents finds these ports too.
            await until(lambda: bool(kernel.applied) and kernel.applied[-1].data_path_port == 4242)
            await second.certificate.renew_certificate()
            assert second.manager is not None
            listed = await second.manager.ask_leader("GET", "/nodes", {"filters": '{"role":["manager"]}'})
            assert sorted(node["ManagerStatus"]["Addr"] for node in listed) == addresses
            with pytest.raises(Unavailable, match="the leader answered 404 to GET /nodes/none"):
                await second.manager.ask_leader("GET", "/nodes/none", {})
            assert [node.is_ready for node in first.manager.state.nodes.values()] == [True, True]

    asyncio.run(asyncio.wait_for(scenario(), 3 * DEADLINE_S))


def test_an_advertised_port_is_the_one_listened_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(tmp_path, FakeDataPlane()) as node:
            with pytest.raises(InvalidArgument, match="must use the port listened on: 12377"):
                await found(node, "0.0.0.0:12377", f"{FIRST}:2377")
            assert not node.local.node_id

    asyncio.run(scenario())
