"""The inner engine's bridge networks: one per cluster network, with the same subnet on every node.

Implements `interfaces.BridgeNetworks`. The engine owns the bridge device and the tasks' interfaces on it; what connects
the bridges of different nodes is the data plane's work.
"""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from orchestrator.executor.container_rules import LABEL_NETWORK_ID, bridge_network_name
from orchestrator.executor.engine_client import EngineClient, EngineError
from orchestrator.interfaces import NetworkRefused
from orchestrator.model.network import AttachedNetwork

MTU_BYTES = 1450
"""1500 less the 50 bytes of a VXLAN header over IPv4 (RFC 7348, section 5)."""

_REFUSALS = (400, 403, 409)
"""HTTP statuses of a wish that will not be granted when it is repeated: an overlapping subnet, above all."""

logger = logging.getLogger(__name__)


def engine_name(network: AttachedNetwork) -> str:
    """The name the network should have in the engine: its own where containers may be attached by it."""
    return network.name if network.attachment_range else bridge_network_name(network.network_id)


def network_body(network: AttachedNetwork, bridge_name: str) -> dict[str, Any]:
    """The JSON body of `POST /networks/create`."""
    config = {"Subnet": network.subnet, "Gateway": network.gateway}
    if network.attachment_range:
        # What the engine gives out by itself; tasks come with addresses of the whole subnet.
        config["IPRange"] = network.attachment_range
    return {
        "Name": engine_name(network),
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": network.internal,
        "IPAM": {"Driver": "default", "Config": [config]},
        "Options": {"com.docker.network.bridge.name": bridge_name, "com.docker.network.driver.mtu": str(MTU_BYTES)},
        "Labels": {LABEL_NETWORK_ID: network.network_id, "com.docker.swarm.network.name": network.name},
    }


class DockerBridgeNetworks:
    """`interfaces.BridgeNetworks` over Docker's API; every method raises `EngineError`, an `OSError`."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._names: dict[str, str] = {}
        """Network id -> the engine's name, of networks ensured in this life."""

    def name_of(self, network_id: str) -> str:
        """The engine's name of a network that was ensured."""
        return self._names.get(network_id, bridge_network_name(network_id))

    async def ensure(self, network: AttachedNetwork, bridge_name: str) -> bool:
        """Make the engine have the network; False when its own name is held by another network for now.

        One that differs, left by an earlier life of the node, is replaced, unless only its name does and a container
        is attached. Raises `NetworkRefused` when the engine will not have it.
        """
        body = network_body(network, bridge_name)
        existing = await self._existing(network.network_id)
        if existing is not None and _is_same(existing, body):
            has_name = existing["Name"] == body["Name"]
            if has_name or existing["Containers"] or await self._is_taken(body["Name"]):
                self._names[network.network_id] = existing["Name"]
                return bool(has_name)
        if existing is not None:
            logger.warning("network differs: replacing it", extra={"network_id": network.network_id})
            await self._make_room(network)
        return await self._create(network, body)

    async def _make_room(self, network: AttachedNetwork) -> None:
        """A container of the network's earlier life may still be attached: it ends only if the rest is carried on."""
        try:
            await self.remove(network.network_id)
        except EngineError as error:
            if error.status in _REFUSALS:
                raise NetworkRefused(f"network {network.name}: {error}") from error
            raise

    async def remove(self, network_id: str) -> None:
        """Take the network from the engine. Idempotent; refused while a container is attached."""
        existing = await self._existing(network_id)
        if existing is not None:
            try:
                await self._client.call("DELETE", f"networks/{existing['Id']}")
            except EngineError as error:
                if not error.is_not_found:
                    raise
        self._names.pop(network_id, None)

    async def names(self) -> Mapping[str, str]:
        """Network id -> the engine's name, of every network of ours that the engine has, ordered by id."""
        return dict(sorted((item["Labels"][LABEL_NETWORK_ID], item["Name"]) for item in await self._listed()))

    async def _create(self, network: AttachedNetwork, body: dict[str, Any]) -> bool:
        name = body["Name"]
        if name != bridge_network_name(network.network_id) and await self._is_taken(name):
            logger.warning("network name is taken on this node: nothing can be attached", extra={"network": name})
            body = body | {"Name": bridge_network_name(network.network_id)}
        try:
            await self._client.call("POST", "networks/create", body=body)
        except EngineError as error:
            if error.status in _REFUSALS:
                raise NetworkRefused(f"network {network.name}: {error}") from error
            raise
        self._names[network.network_id] = body["Name"]
        return bool(body["Name"] == name)

    async def _is_taken(self, name: str) -> bool:
        filters = json.dumps({"name": [f"^{re.escape(name)}$"]})
        return bool(await self._client.call("GET", "networks", {"filters": filters}))

    async def _existing(self, network_id: str) -> Mapping[str, Any] | None:
        """The engine's record of the network, with the containers attached to it."""
        for item in await self._listed(f"={network_id}"):
            try:
                found: Mapping[str, Any] = await self._client.call("GET", f"networks/{item['Id']}")
            except EngineError as error:
                if not error.is_not_found:
                    raise
            else:
                return found
        return None

    async def _listed(self, value: str = "") -> list[Mapping[str, Any]]:
        filters = json.dumps({"label": [LABEL_NETWORK_ID + value]})
        listed: list[Mapping[str, Any]] = await self._client.call("GET", "networks", {"filters": filters})
        return listed


def _is_same(existing: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    return bool(
        existing["IPAM"]["Config"] == body["IPAM"]["Config"]
        and existing["Options"] == body["Options"]
        and existing["Internal"] == body["Internal"]
    )
