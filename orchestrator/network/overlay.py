"""The overlay networks of this node: the engine's bridges, and the tunnels that join them to the other nodes' bridges.

It changes only what differs (`overlay_rules`), so a restart of `swarmd` disturbs no traffic.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.interfaces import BridgeNetworks, NetworkRefused
from orchestrator.model.network import AttachedNetwork, NetworkConfiguration
from orchestrator.network.kernel_settings import set_bridge_settings
from orchestrator.network.overlay_rules import (
    TunnelChanges,
    bridge_name,
    desired_tunnels,
    plan_tunnels,
)

if TYPE_CHECKING:
    from orchestrator.network.tunnels import Tunnels

logger = logging.getLogger(__name__)


class Overlay:
    """All overlay networks of this node."""

    def __init__(self, bridge_networks: BridgeNetworks) -> None:
        self._bridge_networks = bridge_networks
        self._ensured: dict[str, AttachedNetwork] = {}
        self._refusals: dict[str, str] = {}
        """Network id -> why the engine will not have it, as last said."""

    @cached_property
    def _tunnels(self) -> "Tunnels":
        # Imported on first use, in a thread: pyroute2 alone is a third of what the daemon's start costs.
        from orchestrator.network.tunnels import Tunnels

        return Tunnels()

    async def apply(self, configuration: NetworkConfiguration) -> frozenset[str]:
        """Carry exactly the configuration's networks, less those that the engine refuses: returned. Raises `OSError`.

        A network that is no longer in it but still in use is kept, and tried again at the next call.
        """
        # First what is to go: its subnet may be another network's by now.
        wanted = {network.network_id for network in configuration.networks}
        await self._remove_others(wanted)
        self._refusals = {network_id: reason for network_id, reason in self._refusals.items() if network_id in wanted}
        present = await asyncio.to_thread(lambda: self._tunnels.observe())
        if await self._ensure_bridges(configuration.networks, present.bridges):
            present = await asyncio.to_thread(lambda: self._tunnels.observe())
        desired = [tunnel for tunnel in desired_tunnels(configuration) if tunnel.bridge in present.bridges]
        changes = plan_tunnels(desired, present.tunnels)
        if changes != TunnelChanges():
            await asyncio.to_thread(lambda: self._tunnels.change(changes))
            logger.info("overlay changed", extra={"revision": configuration.revision, "tunnels": len(desired)})
        return frozenset(self._refusals)

    async def forget_neighbours(self, addresses: Collection[str]) -> None:
        """Ask anew where these addresses are, at the next packet: another container may have them now."""
        if addresses:
            await asyncio.to_thread(lambda: self._tunnels.forget_neighbours(addresses))

    async def remove(self) -> None:
        """Take all tunnels and networks of ours away. Raises `OSError` when one is still in use; the others go."""
        present = await asyncio.to_thread(lambda: self._tunnels.observe())
        names = tuple(tunnel.name for tunnel in present.tunnels)
        await asyncio.to_thread(lambda: self._tunnels.change(TunnelChanges(delete=names)))
        self._ensured.clear()
        refusals = []
        for network_id in await self._bridge_networks.names():
            try:
                await self._bridge_networks.remove(network_id)
            except OSError as refusal:
                refusals.append(refusal)
        if refusals:
            raise refusals[0]

    async def _ensure_bridges(self, networks: Sequence[AttachedNetwork], present: Collection[str]) -> bool:
        """Make the engine have the networks; whether it was asked for any, and so may have made bridges anew."""
        asked = False
        for network in networks:
            name = bridge_name(network.network_id)
            if self._ensured.get(network.network_id) != network or name not in present:
                asked = True
                if not await self._ensure(network, name):
                    continue
            await asyncio.to_thread(set_bridge_settings, name)
        return asked

    async def _ensure(self, network: AttachedNetwork, name: str) -> bool:
        """Whether the engine has the network now. One it refuses must not keep the node from carrying the others."""
        try:
            is_settled = await self._bridge_networks.ensure(network, name)
        except NetworkRefused as refusal:
            if self._refusals.get(network.network_id) != str(refusal):
                logger.error("network is not carried: %s", refusal, extra={"network_id": network.network_id})
            self._refusals[network.network_id] = str(refusal)
            self._ensured.pop(network.network_id, None)
            return False
        self._refusals.pop(network.network_id, None)
        if is_settled:
            self._ensured[network.network_id] = network
        return True

    async def _remove_others(self, network_ids: Collection[str]) -> None:
        for network_id in sorted(await self._bridge_networks.names()):
            if network_id in network_ids:
                continue
            self._ensured.pop(network_id, None)
            try:
                await self._bridge_networks.remove(network_id)
            except OSError as error:
                logger.warning("network is kept for now: %s", error, extra={"network_id": network_id})
