"""A cluster in memory with one of each kind of object, served on a real port of 127.0.0.1 for any HTTP client."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from orchestrator.api.app import create_app
from orchestrator.api.backend import LocalNode, LocalNodeState
from orchestrator.model.container import ContainerSpec
from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.network import Network
from orchestrator.model.service import Service, ServiceSpec, TaskSpec
from orchestrator.state import actions as act
from orchestrator.testing.cluster_backend import (
    FakeClusterBackend,
    FakeEngineClient,
    FakeLifecycle,
    cluster_of_one,
)

INTERNAL_ERROR = "internal error"
"""How the message of an answer begins that nobody meant."""


class World(FakeLifecycle):
    """A node whose cluster can be put back to how it was."""

    def reset(self) -> FakeClusterBackend:
        """The cluster of the beginning again."""
        backend = cluster_of_one()
        backend.apply(
            act.CreateNetwork(Network(backend.new_id(), "mesh", subnet="10.0.9.0/24", vni=4097, attachable=True)),
            act.CreateSecret(Secret(backend.new_id(), "files", b"sealed")),
            act.CreateConfig(ConfigObject(backend.new_id(), "files", b"data")),
        )
        spec = ServiceSpec("web", TaskSpec(ContainerSpec("nginx:1")))
        backend.apply(act.CreateService(Service(backend.new_id(), spec, spec_version=0)))
        self.backend = backend
        self.local = LocalNode(LocalNodeState.ACTIVE, backend.leader_node_id or "", "127.0.0.1", is_manager=True)
        return backend


@contextmanager
def served(world: World) -> Iterator[str]:
    """Serve in a thread; yields the URL."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(create_app(world, world.cluster, FakeEngineClient()), shutdown_timeout=1)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    host, port = runner.addresses[0]
    try:
        yield f"http://{host}:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        loop.close()
