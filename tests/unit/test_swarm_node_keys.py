"""What a node lives through as a whole: another root for its certificate, a lock on its keys, restarts in between."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from orchestrator.api.backend import LocalNodeState
from orchestrator.kept_membership import KeptMembership
from orchestrator.manager import authority
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import InvalidArgument, Unavailable, WrongKey
from orchestrator.model.node import MANAGEMENT_PORT
from orchestrator.state.actions import BeginRootRotation, SetUnlockKey
from orchestrator.swarm_node import SwarmNode
from tests.unit.swarm_of_nodes import Nodes, cluster_of, nodes, ready, until


def run(directory: Path, scenario: Callable[[Nodes], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with nodes(directory) as rig:
            await scenario(rig)

    asyncio.run(bounded())


async def rotate(manager: SwarmNode) -> None:
    """Replace the root, and wait until every manager's replica says that it is done."""
    assert manager.manager is not None
    before = cluster_of(manager).ca_certificate
    await manager.manager.propose((BeginRootRotation(manager.manager.new_root("", "")),))
    await until(lambda: cluster_of(manager).rotation is None)
    assert cluster_of(manager).ca_certificate != before


async def says(address: str, tls: ssl.SSLContext, path: str) -> int:
    """The status with which the manager at that address answers."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"https://{address}:{MANAGEMENT_PORT}{path}", ssl=tls) as answer,
    ):
        return answer.status


def test_every_node_follows_to_another_root_and_is_never_lost(tmp_path: Path) -> None:
    async def scenario(rig: Nodes) -> None:
        first = await rig.found()
        old_token = cluster_of(first).worker_token
        second = await rig.join(2, cluster_of(first).manager_token)
        worker = await rig.join(3, old_token)
        await until(lambda: ready(first) == 3)
        stolen, _ = KeptMembership(rig.directory(3)).load()
        assert await says(rig.address(1), authority.client_context(stolen), "/session") == 400
        lost: list[int] = []
        manager = first.manager
        assert manager is not None
        manager.subscribe(lambda: lost.append(ready(first)) if ready(first) < 3 else None)
        await rotate(first)
        await rotate(first)
        root = cluster_of(first).ca_certificate
        await until(lambda: {node.certificate.trust.root for node in (first, second, worker)} == {root})
        assert len({node.certificate.trust for node in (first, second, worker)}) == 1
        await until(lambda: {n.description.trust for n in manager.state.nodes.values()} == {first.certificate.trust})
        # A thief's copy of before, and what is asked with a token of before.
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await says(rig.address(1), authority.client_context(stolen), "/session")
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await says(rig.address(1), authority.client_context(stolen.trusting(root)), "/session")
        with pytest.raises(InvalidArgument, match="remote CA does not match fingerprint"):
            await rig.join(4, old_token)
        await rig.join(4, cluster_of(first).worker_token)
        await until(lambda: ready(first) == 4)
        # Whoever is restarted comes back by what it has kept.
        await rig.restart(3)
        await rig.restart(2)
        await until(lambda: ready(first) == 4)
        assert lost == []

    run(tmp_path, scenario)


def in_clear(directory: Path) -> list[str]:
    """Names of files that hold a key or a token anyone can read."""
    marks = (b"PRIVATE KEY", b"SWMTKN-1-", b"SWMKEY-1-")
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path.name for path in files if any(mark in path.read_bytes() for mark in marks)]


def test_a_locked_manager_waits_for_its_key_and_then_goes_on(tmp_path: Path) -> None:
    async def scenario(rig: Nodes) -> None:
        first = await rig.found(ClusterSpec(auto_lock_managers=True))
        cluster = cluster_of(first)
        assert cluster.unlock_key.startswith("SWMKEY-1-")
        await until(lambda: in_clear(rig.directory(1)) == [])
        again = await rig.restart(1)
        assert (again.local.state, again.manager) == (LocalNodeState.LOCKED, None)
        with pytest.raises(Unavailable, match="Swarm is encrypted"):
            await rig.ask_to_join(again, 1, cluster.worker_token)
        with pytest.raises(WrongKey):
            await again.unlock("SWMKEY-1-" + "A" * 43)
        with pytest.raises(InvalidArgument, match="invalid key string"):
            await again.unlock("open sesame")
        assert again.local.state.value == "locked"
        await again.unlock(cluster.unlock_key)
        assert again.local.state.value == "active"
        await until(lambda: again.manager is not None and again.manager.is_leader)
        assert cluster_of(again).worker_token == cluster.worker_token
        await until(lambda: ready(again) == 1)

    run(tmp_path, scenario)


def knows(node: SwarmNode, unlock_key: str) -> bool:
    """Whether this manager's replica has the key, which it has not from the start."""
    cluster = node.manager.state.cluster if node.manager is not None else None
    return cluster is not None and cluster.unlock_key == unlock_key


def test_the_lock_follows_the_cluster_s_settings_on_every_manager(tmp_path: Path) -> None:
    async def scenario(rig: Nodes) -> None:
        first = await rig.found()
        second = await rig.join(2, cluster_of(first).manager_token)
        await rig.join(4, cluster_of(first).manager_token)
        await rig.join(3, cluster_of(first).worker_token)
        assert "membership.json" in in_clear(rig.directory(1))
        assert first.manager is not None
        key = first.manager.new_unlock_key()
        await first.manager.propose((SetUnlockKey(key),))
        await until(lambda: [in_clear(rig.directory(number)) for number in (1, 2, 4)] == [[], [], []])
        # Workers are never locked: nobody would be there to unlock them.
        assert in_clear(rig.directory(3)) == ["membership.json"]
        second = await rig.restart(2)
        assert second.local.state is LocalNodeState.LOCKED
        changed = first.manager.new_unlock_key()
        await first.manager.propose((SetUnlockKey(changed),))
        # It was away when the key changed: what it has is still sealed under the old one.
        await second.unlock(key)
        await until(lambda: knows(second, changed))
        second = await rig.restart(2)
        await second.unlock(changed)
        await first.manager.propose((SetUnlockKey(""),))
        await until(lambda: not (rig.directory(2) / "lock").exists())
        second = await rig.restart(2)
        assert second.local.state is LocalNodeState.ACTIVE

    run(tmp_path, scenario)


def test_a_locked_node_can_be_taken_out_by_force(tmp_path: Path) -> None:
    async def scenario(rig: Nodes) -> None:
        await rig.found(ClusterSpec(auto_lock_managers=True))
        await until(lambda: in_clear(rig.directory(1)) == [])
        again = await rig.restart(1)
        await again.leave(force=True)
        assert again.local.state is LocalNodeState.INACTIVE
        assert not rig.directory(1).exists()

    run(tmp_path, scenario)
