"""`swarmd`: the one place that knows all parts. It wires them, listens, and ends them in order."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web

from orchestrator.api.app import create_app
from orchestrator.api.engine_proxy import EngineProxy
from orchestrator.api.errors import EngineRefusal
from orchestrator.api.routes import is_swarm_path
from orchestrator.config import Config
from orchestrator.duties import CRASHED
from orchestrator.executor.bridge_networks import DockerBridgeNetworks
from orchestrator.executor.container_rules import FILES_DIRECTORY
from orchestrator.executor.docker_engine import DockerEngine
from orchestrator.executor.engine_client import EngineClient, EngineError
from orchestrator.executor.resolver_files import ResolverFiles
from orchestrator.executor.task_files import MemoryTaskFiles
from orchestrator.interfaces import Adapters
from orchestrator.model.errors import Unavailable
from orchestrator.model.resolver_settings import ResolverSettings
from orchestrator.network.connections import NamespaceConnections
from orchestrator.network.data_plane import KernelDataPlane
from orchestrator.network.dns_forwarding import Forwarder
from orchestrator.network.dns_server import NameServer
from orchestrator.network.gossip import GossipNode
from orchestrator.node_resolver import NodeResolver
from orchestrator.swarm_node import SwarmNode

logger = logging.getLogger(__name__)

ENGINE_DEADLINE_S = 30.0
ENGINE_POLL_INTERVAL_S = 0.05
SHUTDOWN_DEADLINE_S = 1.0


async def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code, which is 1 after a crash of any part."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    crashed: list[str] = []

    def on_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        if CRASHED in context:
            crashed.append(context[CRASHED])
            stop.set()

    loop.set_exception_handler(on_exception)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(config):
        logger.info("swarmd serves %s", ", ".join(str(path) for path in config.api_sockets))
        await stop.wait()
    logger.info("swarmd has ended")
    return 1 if crashed else 0


@contextlib.asynccontextmanager
async def serving(config: Config) -> AsyncIterator[SwarmNode]:
    """A running daemon; leaving the block ends it, while tasks and data path run on.

    Raises `TimeoutError` when the inner engine does not answer in time.
    """
    config.run_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with contextlib.AsyncExitStack() as stack:
        client = EngineClient(str(config.engine_socket))
        stack.push_async_callback(client.close)
        await _wait_engine(client)
        resolver = NodeResolver()
        names = NameServer(Forwarder(lambda: resolver.settings().nameservers))
        stack.push_async_callback(names.close)
        resolver_files = ResolverFiles(config.state_directory / "resolvers", resolver.settings)
        networks = DockerBridgeNetworks(client)
        engine = DockerEngine(
            client, nameservers=names.nameservers_of, resolver_files=resolver_files, network_name=networks.name_of
        )
        adapters = Adapters(
            engine=engine,
            data_plane=KernelDataPlane(networks, name_server=names),
            failure_detector=GossipNode(),
            connections=NamespaceConnections(),
            files=MemoryTaskFiles(Path(FILES_DIRECTORY), lambda: engine.description),
        )
        node = SwarmNode(
            config.state_directory,
            adapters,
            make_api=lambda node: _api(node, client, resolver_files, forwards=False),
        )
        stack.push_async_callback(node.close)
        await node.start()
        app_socket = config.run_directory / "api.sock"
        runner = web.AppRunner(_api(node, client, resolver_files), shutdown_timeout=SHUTDOWN_DEADLINE_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.UnixSite(runner, str(app_socket)).start()
        proxy = EngineProxy(is_swarm_path, str(app_socket), str(config.engine_socket))
        stack.push_async_callback(proxy.close)
        for path in config.api_sockets:
            await proxy.listen_unix(str(path))
        yield node


class _EngineAnswers:
    """What the API asks of the inner engine."""

    def __init__(self, client: EngineClient, resolver_files: ResolverFiles) -> None:
        self._client = client
        self._resolver_files = resolver_files

    async def resolver_file(self, settings: ResolverSettings) -> str:
        """The path of a resolv.conf that says so. Raises `Unavailable`."""
        try:
            return await self._resolver_files.write_shared(settings)
        except OSError as error:
            raise Unavailable(f"the container's resolv.conf cannot be written: {error}") from error

    async def get_json(self, path: str) -> dict[str, Any]:
        """The engine's answer to `GET path`. Raises `Unavailable` when it has none."""
        try:
            answer: dict[str, Any] = await self._client.call("GET", path.lstrip("/"))
        except OSError as error:
            raise Unavailable(f"the node's engine does not answer: {error}") from error
        return answer

    @contextlib.asynccontextmanager
    async def stream(self, path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of the engine's answer as they come. Raises as `request`."""
        try:
            async with self._client.stream("GET", path.lstrip("/"), params) as lines:
                yield aiter(lines)
        except EngineError as error:
            if error.status:
                raise EngineRefusal(HTTPStatus(error.status), str(error)) from error
            raise Unavailable(f"the node's engine does not answer: {error}") from error

    async def request(
        self, method: str, path: str, params: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """The JSON of the engine's answer. Raises `EngineRefusal` with its words, `Unavailable` when it has none."""
        try:
            return await self._client.call(method, path.lstrip("/"), params, body)
        except EngineError as error:
            if error.status:
                raise EngineRefusal(HTTPStatus(error.status), str(error)) from error
            raise Unavailable(f"the node's engine does not answer: {error}") from error


def _api(
    node: SwarmNode, client: EngineClient, resolver_files: ResolverFiles, *, forwards: bool = True
) -> web.Application:
    return create_app(node, lambda: node.manager, _EngineAnswers(client, resolver_files), forwards=forwards)


async def _wait_engine(client: EngineClient) -> None:
    async with asyncio.timeout(ENGINE_DEADLINE_S):
        while True:
            try:
                await client.call("GET", "info")
            except OSError:
                await asyncio.sleep(ENGINE_POLL_INTERVAL_S)
            else:
                return
