"""The stock CLI replaces the root and locks managers, on whole nodes in one process."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.api.app import create_app
from orchestrator.swarm_node import SwarmNode
from orchestrator.testing.cluster_backend import FakeEngineClient
from tests.unit.swarm_of_nodes import Nodes, cluster_of, nodes, ready, until

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker CLI")

Docker = Callable[..., Awaitable[tuple[int, str]]]
"""`docker` with these arguments and this input: (status, what it wrote)."""


@contextlib.asynccontextmanager
async def command_line(node: SwarmNode, socket: Path) -> AsyncIterator[Docker]:
    """The node's API on a socket, and the CLI that asks there."""
    runner = web.AppRunner(create_app(node, lambda: node.manager, FakeEngineClient()), shutdown_timeout=1)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()

    async def docker(*arguments: str, typed: str = "") -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *("docker", "--host", f"unix://{socket}", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate(typed.encode())
        assert process.returncode is not None
        return process.returncode, output.decode().strip()

    try:
        yield docker
    finally:
        await runner.cleanup()


def run(directory: Path, scenario: Callable[[Nodes], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with nodes(directory / "kept") as rig:
            await scenario(rig)

    asyncio.run(bounded())


def test_ca_rotate_waits_for_every_node_and_shows_the_new_root(tmp_path: Path) -> None:
    async def scenario(rig: Nodes) -> None:
        first = await rig.found()
        second = await rig.join(2, cluster_of(first).manager_token)
        await rig.join(3, cluster_of(first).worker_token)
        await until(lambda: ready(first) == 3)
        before = cluster_of(first)
        # Asked of a manager that does not lead: it hands the request on.
        async with command_line(second, tmp_path / "api") as docker:
            assert await docker("swarm", "ca") == (0, before.ca_certificate.strip())
            status, output = await docker("swarm", "ca", "--rotate")
            assert status == 0, output
            after = cluster_of(first)
            assert after.ca_certificate.strip() in output
            assert after.ca_certificate != before.ca_certificate
            assert (await docker("swarm", "join-token", "-q", "worker"))[1] == after.worker_token != before.worker_token

    run(tmp_path, scenario)


def test_ca_rotate_to_a_root_of_the_user_s(tmp_path: Path) -> None:
    async def scenario(rig: Nodes) -> None:
        first = await rig.found()
        await until(lambda: ready(first) == 1)
        assert first.manager is not None
        rotation = first.manager.new_root("", "")
        certificate, key = tmp_path / "root.pem", tmp_path / "key.pem"
        certificate.write_text(rotation.ca_certificate)
        key.write_text(rotation.ca_key)
        async with command_line(first, tmp_path / "api") as docker:
            own = ("--ca-cert", str(certificate), "--ca-key", str(key))
            status, output = await docker("swarm", "ca", "--rotate", *own)
            assert (status, rotation.ca_certificate.strip() in output) == (0, True), output
            status, output = await docker("swarm", "update", "--cert-expiry", "2h")
            assert status == 0, output
            assert cluster_of(first).ca_certificate == rotation.ca_certificate
            status, output = await docker("swarm", "ca", "--rotate")
            assert (status, rotation.ca_certificate.strip() in output) == (0, False), output
            issued_at, expires_at = first.certificate.validity
            assert expires_at - issued_at == pytest.approx(7200, abs=5)

    run(tmp_path, scenario)


def test_autolock_and_unlock(tmp_path: Path) -> None:
    async def scenario(rig: Nodes) -> None:
        first = await rig.found()
        async with command_line(first, tmp_path / "api") as docker:
            status, output = await docker("swarm", "update", "--autolock")
            key = cluster_of(first).unlock_key
            assert (status, key in output) == (0, True), output
            assert await docker("swarm", "unlock-key", "-q") == (0, key)
            status, changed = await docker("swarm", "unlock-key", "-q", "--rotate")
            assert (status, changed) == (0, cluster_of(first).unlock_key)
            assert await docker("swarm", "unlock", typed=f"{changed}\n") == (1, "Error: swarm is not locked")
            await until(lambda: (rig.directory(1) / "lock").exists())
        again = await rig.restart(1)
        async with command_line(again, tmp_path / "again") as docker:
            assert await docker("info", "--format", "{{.Swarm.LocalNodeState}}") == (0, "locked")
            status, output = await docker("node", "ls")
            assert (status, 'Please use "docker swarm unlock" to unlock it.' in output) == (1, True), output
            status, output = await docker("swarm", "unlock", typed=f"{key}\n")
            assert (status, "swarm could not be unlocked: invalid key provided" in output) == (1, True), output
            status, output = await docker("swarm", "unlock", typed=f"{changed}\n")
            assert status == 0, output
            await until(lambda: again.manager is not None and again.manager.is_leader)
            assert await docker("swarm", "unlock-key", "-q") == (0, changed)

    run(tmp_path, scenario)
