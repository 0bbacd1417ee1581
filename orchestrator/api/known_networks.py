"""Which networks there are for a node's users: the cluster's, as far as the node knows them, and its engine's own.

The engine's bridge networks by which this node carries the cluster's are nobody's business and never shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web

from orchestrator.api.backend import ClusterBackend
from orchestrator.api.context import CONTEXT, Context
from orchestrator.api.convert.network import network_from_attached, peers_of, resource_of, services_on
from orchestrator.api.errors import BadRequest, EngineRefusal, ObjectNotFound
from orchestrator.api.lookup import find_network_in
from orchestrator.api.wire.common import JSONObject
from orchestrator.control.network_configuration import reached_services
from orchestrator.model.errors import NoLeader, NotSupported
from orchestrator.model.network import BalancedService, Network

LABEL_NETWORK_ID = "com.docker.swarm.network.id"
"""Marks the engine's networks that are the node's share of one of the cluster's (`executor.container_rules`)."""
_NODES_OWN = ("bridge", "host")
"""Networks of each node that swarm mode lets services join."""


@dataclass(frozen=True, slots=True)
class KnownNetworks:
    """The cluster's networks as this node knows them, and the way to its engine."""

    context: Context
    cluster: ClusterBackend | None
    networks: Mapping[str, Network]
    """By id: all on a manager, those it carries on a worker."""

    @classmethod
    async def of(cls, request: web.Request) -> "KnownNetworks":
        """What the node that the request came to knows. A manager without a leader knows what a worker does."""
        context = request.app[CONTEXT]
        cluster = context.cluster()
        if cluster is not None:
            try:
                await cluster.find_leader()
                await cluster.catch_up()
            except NoLeader:
                cluster = None
        if cluster is not None:
            found = [network for network in cluster.state.networks.values() if not network.removing]
        else:
            carried = context.lifecycle.network_configuration.networks
            found = [network_from_attached(attached) for attached in carried]
        return cls(context, cluster, {network.id: network for network in found})

    @property
    def is_current(self) -> bool:
        """Whether nothing was acknowledged that is not known here; a worker never claims that of what it carries."""
        return self.cluster is not None or self.context.cluster() is None

    def find(self, text: str) -> Network | None:
        """The cluster's network of that id, name or id prefix; None when there is none here."""
        try:
            return find_network_in(self.networks, text)
        except ObjectNotFound:
            return None

    async def meant_by(self, text: str, scope: str = "") -> Network | JSONObject | None:
        """What the text means: a network of the cluster, or one of the engine's as the engine shows it; None: nothing.

        A whole id or name on either side comes before the beginning of an id on the other. `scope` ("swarm", "local")
        asks for one side alone. Raises `BadRequest` when beginnings of several ids fit.
        """
        of_swarm = scope in ("", "swarm")
        if of_swarm:
            for network in self.networks.values():
                if text in (network.id, network.name):
                    return network
        found = await self.of_engine(text)
        share_of = ((found or {}).get("Labels") or {}).get(LABEL_NETWORK_ID)
        if share_of is not None:
            # By the engine's id, as `docker inspect` of an attached container shows it.
            return self.networks.get(share_of) if of_swarm else None
        own = found if found is not None and scope in ("", found["Scope"]) else None
        if own is not None and text in (own["Id"], own["Name"]):
            return own
        begun = self.find(text) if of_swarm else None
        if own is not None and begun is not None:
            raise BadRequest(f"network {text} is ambiguous (2 matches found on ID)")
        return begun or own

    async def local(self, params: Mapping[str, str]) -> list[JSONObject]:
        """The engine's own networks. A manager that answers for another node has none."""
        if not self.context.forwards:
            return []
        listed: list[JSONObject] = await self.context.engine.request("GET", "/networks", params)
        return [item for item in listed if LABEL_NETWORK_ID not in (item.get("Labels") or {})]

    async def of_engine(self, text: str) -> JSONObject | None:
        """What the engine has under that id or name, bridges of ours included; None when nothing."""
        if not self.context.forwards:
            return None
        try:
            found: JSONObject = await self.context.engine.request("GET", f"/networks/{text}")
        except EngineRefusal as refusal:
            if refusal.status != ObjectNotFound.status:
                raise
            return None
        return found

    async def bridge_of(self, network: Network) -> JSONObject | None:
        """The engine's network by which this node carries the cluster's; None when it does not."""
        if not self.context.forwards:
            return None
        filters = f'{{"label":["{LABEL_NETWORK_ID}={network.id}"]}}'
        listed = await self.context.engine.request("GET", "/networks", {"filters": filters})
        return await self.of_engine(listed[0]["Id"]) if listed else None

    async def inspected(self, network: Network, *, verbose: bool) -> JSONObject:
        """The cluster's network, with what is on it here and, if anything is, the other nodes that carry it.

        `verbose` adds its services; Docker tells of them only where one of their tasks runs.
        """
        resource: JSONObject = resource_of(network)
        here = (await self.bridge_of(network) or {}).get("Containers")
        if here:
            resource["Containers"] = here
        addresses: dict[str, str] = {}
        services: Iterable[BalancedService] = self.context.lifecycle.network_configuration.services
        if self.cluster is not None:
            state = self.cluster.state
            addresses = {node.id: node.address for node in state.nodes.values()}
            services = reached_services(state)
            if here:
                resource["Peers"] = peers_of(network.id, state)
        if verbose and (found := services_on(network.id, services, addresses)):
            resource["Services"] = found
        return resource

    def is_used(self, network: Network) -> bool:
        """Whether a service names the network."""
        services = self.cluster.state.services.values() if self.cluster is not None else ()
        return any(reference.network_id == network.id for s in services for reference in s.spec.task.networks)


def refuse_nodes_own(text: str) -> None:
    """Raise `NotSupported` for a network that services of Docker's swarm mode could join, and these cannot."""
    if text in _NODES_OWN:
        raise NotSupported(f"services on network {text} are not supported: publish ports with mode=host instead")
