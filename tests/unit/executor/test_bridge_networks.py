"""Twins of our networks in an engine, where the engine does not do as it is told."""

import asyncio
from typing import Any

import pytest

from orchestrator.executor.bridge_networks import DockerBridgeNetworks, network_body
from orchestrator.executor.engine_client import EngineError
from orchestrator.interfaces import NetworkRefused
from orchestrator.model.network import AttachedNetwork


class Engine:
    """An engine that has one network, with a container attached to it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.existing = {**body, "Id": "e1", "Containers": {"c1": {}}}

    async def call(self, method: str, path: str, *_: object, **__: object) -> Any:
        if method == "DELETE":
            raise EngineError(403, "error while removing network: network webnet id e1 has active endpoints")
        return [self.existing] if path == "networks" else self.existing


def a_network(gateway: str) -> AttachedNetwork:
    return AttachedNetwork("n1", "webnet", "10.0.1.0/24", 4097, gateway)


def test_a_network_whose_gateway_changed_under_a_container_is_refused_and_holds_up_no_other() -> None:
    engine = Engine(network_body(a_network("10.0.1.2"), "sw-n1"))
    networks = DockerBridgeNetworks(engine)  # type: ignore[arg-type]
    with pytest.raises(NetworkRefused, match="has active endpoints"):
        asyncio.run(networks.ensure(a_network("10.0.1.3"), "sw-n1"))
