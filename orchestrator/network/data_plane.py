"""The node's data plane: overlay, balancers and tracked connections, changed in the one order that loses nothing.

The order of `apply` is its whole content:
1. networks and tunnels first, so that no balancer ever names an endpoint that cannot be reached;
2. then the neighbours: an address that just became an endpoint may have been another container's a minute ago;
3. then the balancers, in one transaction, and the wait for packets that may have met the old ones; a virtual address
   is on its bridge only while there are rules for it: it goes before them and comes after;
4. then the names: what they lead to is there;
5. last the tracked connections, since only now no new one can come up to what was withdrawn.
Why zero open flows means that nothing will come: `flow_rules`.
"""

import asyncio

from orchestrator.interfaces import BridgeNetworks
from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.session import Flows
from orchestrator.network.avoidance_rules import without_nodes
from orchestrator.network.bridge_addresses import BridgeAddresses
from orchestrator.network.conntrack import Conntrack
from orchestrator.network.dns_firewall import NameFirewall
from orchestrator.network.dns_server import NameServer
from orchestrator.network.flows import FlowTable
from orchestrator.network.ingress import Ingress
from orchestrator.network.ingress_rules import virtual_addresses
from orchestrator.network.kernel_settings import set_node_settings
from orchestrator.network.overlay import Overlay


class KernelDataPlane:
    """`interfaces.DataPlane` of the network namespace that `swarmd` runs in. Without a name server it has no names."""

    def __init__(self, bridge_networks: BridgeNetworks, *, name_server: NameServer | None = None) -> None:
        self._overlay = Overlay(bridge_networks)
        self._ingress = Ingress()
        self._addresses = BridgeAddresses()
        self._name_firewall = NameFirewall()
        self._name_server = name_server
        self._flows = FlowTable(Conntrack(), lambda: asyncio.get_running_loop().time())
        self._serving: frozenset[str] = frozenset()
        self._applied: NetworkConfiguration | None = None
        self._avoided: frozenset[str] = frozenset()
        self._refused: frozenset[str] = frozenset()
        """Ids of networks that the engine did not have as they should be, the last time it was asked. Only names need
        to know: what keeps networks apart stands also where a bridge is still as it was before, with containers."""
        self._turn = asyncio.Lock()
        """One change at a time, and no measurement in the middle of one."""

    async def apply(self, configuration: NetworkConfiguration) -> frozenset[str]:
        """Make the kernel match the configuration, less the networks returned, which the engine refuses for now.

        Raises `OSError`; the balancers in force then stay in force.
        """
        endpoints = (endpoint for service in configuration.services for endpoint in service.endpoints)
        serving = frozenset(address for endpoint in endpoints for address in endpoint.all_addresses)
        wanted = virtual_addresses(configuration)
        async with self._turn:
            await asyncio.to_thread(set_node_settings)
            self._refused = await self._overlay.apply(configuration)
            await self._overlay.forget_neighbours(sorted(serving - self._serving))
            await asyncio.to_thread(self._addresses.remove_others, wanted)
            living = without_nodes(configuration, self._avoided)
            await self._ingress.apply(living)
            await asyncio.to_thread(self._addresses.add, wanted)
            self._serving = serving
            await self._name_firewall.apply(configuration)
            if self._name_server is not None:
                await self._name_server.apply(living, not_carried=self._refused)
            await self._flows.follow(living)
            self._applied = configuration
            return self._refused

    async def avoid(self, node_ids: frozenset[str]) -> None:
        """Balance and name without tasks on these nodes. Raises `OSError`; what was in force then stays in force."""
        async with self._turn:
            self._avoided = node_ids
            if self._applied is None:
                return
            living = without_nodes(self._applied, node_ids)
            await self._ingress.apply(living)
            if self._name_server is not None:
                await self._name_server.apply(living, not_carried=self._refused)
            # Of the flows to what is left out only unanswered ones are forgotten: it may have been a false alarm, as
            # long as the managers do not say the same.
            await self._flows.follow(living)

    async def flows(self, configuration: NetworkConfiguration) -> Flows:
        """Open connections through this node to the configuration's draining endpoints; forgets closed ones."""
        async with self._turn:
            return await self._flows.open(configuration)

    async def remove(self) -> None:
        """Take everything of ours out of the kernel. Raises `OSError` when a network is still in use."""
        async with self._turn:
            if self._name_server is not None:
                await self._name_server.close()
            await self._name_firewall.remove()
            await asyncio.to_thread(self._addresses.remove_others, ())
            await self._ingress.remove()
            self._serving = frozenset()
            self._applied, self._avoided, self._refused = None, frozenset(), frozenset()
            await self._overlay.remove()
