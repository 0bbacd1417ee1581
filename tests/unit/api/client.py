"""The API over fakes, called in-process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient, TestServer

from orchestrator.api.app import create_app
from orchestrator.api.backend import LocalNode, LocalNodeState
from orchestrator.testing.cluster_backend import FakeClusterBackend, FakeEngineClient, FakeLifecycle, cluster_of_one

IMAGE_SPEC: dict[str, Any] = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}}}
"""The smallest service."""


class Api:
    """Calls one application and reads its answers."""

    def __init__(self, client: Any, backend: FakeClusterBackend) -> None:
        self._client = client
        self.backend = backend

    async def response(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        """The raw answer, read."""
        answer: aiohttp.ClientResponse = await self._client.request(method, path, **options)
        await answer.read()
        return answer

    async def stream(self, path: str) -> aiohttp.ClientResponse:
        """An answer still being sent; close it."""
        answer: aiohttp.ClientResponse = await self._client.request("GET", path)
        return answer

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """(status, JSON of the answer or None)."""
        answer = await self.response(method, path, json=body, **options)
        return answer.status, await answer.json() if answer.content_type == "application/json" else None

    async def create(self, **changes: Any) -> str:
        """Create a service like `IMAGE_SPEC`; returns its id."""
        status, answer = await self.call("POST", "/services/create", {**IMAGE_SPEC, **changes})
        assert status == 201, answer
        service_id: str = answer["ID"]
        return service_id


def manager(backend: FakeClusterBackend) -> FakeLifecycle:
    """A node that is the cluster's manager."""
    local = LocalNode(LocalNodeState.ACTIVE, backend.leader_node_id or "", "127.0.0.1", is_manager=True)
    return FakeLifecycle(local=local, backend=backend)


def run(
    scenario: Callable[[Api], Awaitable[None]],
    *,
    lifecycle: FakeLifecycle | None = None,
    engine: FakeEngineClient | None = None,
    forwards: bool = True,
) -> None:
    """Run the scenario against an application; by default on the only manager of a cluster."""
    node = lifecycle or manager(cluster_of_one())

    async def serve() -> None:
        application = create_app(node, node.cluster, engine or FakeEngineClient(), forwards=forwards)
        async with TestClient(TestServer(application)) as client:
            await scenario(Api(client, node.backend or FakeClusterBackend()))

    asyncio.run(asyncio.wait_for(serve(), timeout=20))
