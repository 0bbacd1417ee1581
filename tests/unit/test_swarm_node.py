"""Two whole nodes in one process, with real consensus and TLS on loopback addresses; engine and kernel are fakes."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from orchestrator.api.app import create_app
from orchestrator.api.backend import Addresses, InitOptions, JoinOptions, LocalNodeState
from orchestrator.model.errors import InvalidArgument, Unavailable
from orchestrator.model.node import NodeRole
from orchestrator.raft import recovery
from orchestrator.raft.node import RAFT_PORT
from orchestrator.state.actions import UpdateNodeSpec
from orchestrator.state.cluster_state import ClusterState
from orchestrator.swarm_node import SwarmNode
from orchestrator.testing.cluster_backend import FakeEngineClient
from orchestrator.testing.fake_data_plane import FakeDataPlane
from tests.unit.swarm_of_nodes import DEADLINE_S, cluster_of, fake_adapters, nodes, ready, until

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
            await second.certificate.renew()
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


def test_a_node_leaves_although_a_container_of_somebody_s_own_uses_its_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        kernel = FakeDataPlane()
        monkeypatch.setattr(kernel, "remove", AsyncMock(side_effect=OSError("network webnet has active endpoints")))
        async with a_node(tmp_path, kernel) as node:
            await found(node, "0.0.0.0:12377")
            await node.leave(force=True)
            assert node.local.state is LocalNodeState.INACTIVE
            await found(node, "0.0.0.0:12377")

    asyncio.run(asyncio.wait_for(scenario(), 3 * DEADLINE_S))
    assert "network webnet has active endpoints" in caplog.text


def test_a_promoted_node_whose_port_is_taken_becomes_a_manager_when_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with nodes(tmp_path) as rig:
            first = await rig.found()
            worker = await rig.join(2, cluster_of(first).worker_token)
            assert first.manager is not None
            node = first.manager.state.nodes[worker.local.node_id]
            with socket.create_server((rig.address(2), RAFT_PORT)):
                spec = replace(node.spec, role=NodeRole.MANAGER)
                await first.manager.propose((UpdateNodeSpec(node.id, node.version, spec),))
                await until(lambda: worker.certificate.certified_role is NodeRole.MANAGER)
                await until(lambda: caplog.text.count("not renewed yet") >= 2)
                assert worker.manager is None
            await until(lambda: worker.manager is not None and worker.consensus is not None)
            await until(lambda: len(cluster_managers(first)) == 2)

    asyncio.run(scenario())


def test_a_manager_that_cannot_go_on_alone_goes_on_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario() -> None:
        async with nodes(tmp_path) as rig:
            node = await rig.found()
            addresses = Addresses(listen=f"{rig.address(1)}:2377", advertise=rig.address(1))
            alone = InitOptions(addresses=addresses, force_new_cluster=True)
            with monkeypatch.context() as patch:
                patch.setattr(recovery, "stand_alone", fails)
                with pytest.raises(Unavailable, match=r"cannot go on alone: .*No space left"):
                    await node.init(alone)
            assert state_of(node).network_revision < recovery.REVISION_LEAP
            await until(lambda: ready(node) == 1)
            await node.init(alone)
            assert state_of(node).network_revision > recovery.REVISION_LEAP
            await until(lambda: ready(node) == 1)

    asyncio.run(scenario())


def state_of(node: SwarmNode) -> ClusterState:
    """The state as this manager has it."""
    assert node.manager is not None
    return node.manager.state


def cluster_managers(node: SwarmNode) -> list[str]:
    """Ids of those that this manager has as managers."""
    return [each.id for each in state_of(node).nodes.values() if each.role is NodeRole.MANAGER]
