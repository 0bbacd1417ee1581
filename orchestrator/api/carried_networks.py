"""Waits until this node carries the cluster's networks that a container started by hand asks for.

A network just created is carried everywhere within moments; the very next command may want it. Without the wait the
engine would say that there is none, or the container would run without the cluster's names.
"""

import asyncio

from aiohttp import web

from orchestrator.api.backend import LocalNodeState
from orchestrator.api.errors import NotAllowed
from orchestrator.api.known_networks import KnownNetworks
from orchestrator.model.network import Network

CARRY_DEADLINE_S = 5.0
"""For a network that is known to be the cluster's."""
UNHEARD_DEADLINE_S = 2.0
"""For one that this node, which does not lead, may not have heard of yet."""
_POLL_INTERVAL_S = 0.05


async def names_when_carried(request: web.Request, asked: tuple[str, ...]) -> dict[str, str]:
    """What is asked for -> its name, for networks of the cluster; returns when the engine has them, or time is up.

    Raises `NotAllowed` for one that containers may not join by hand.
    """
    found = [(text, await _when_carried(request, text)) for text in asked]
    return {text: network.name for text, network in found if network is not None}


async def _when_carried(request: web.Request, text: str) -> Network | None:
    """The cluster's network of that name or id; None for what is none of its, or whose name another one has here."""
    began = asyncio.get_running_loop().time()
    while True:
        known = await KnownNetworks.of(request)
        network = await known.meant_by(text)
        if isinstance(network, dict):
            return None
        if network is not None:
            _check_attachable(network, text)
            bridge = await known.bridge_of(network)
            if bridge is not None:
                return network if bridge["Name"] == network.name else None
        waited = asyncio.get_running_loop().time() - began
        if waited >= (CARRY_DEADLINE_S if network is not None else _unheard_deadline(known)):
            return network
        await asyncio.sleep(_POLL_INTERVAL_S)


def _check_attachable(network: Network, text: str) -> None:
    if not network.attachable:
        raise NotAllowed(
            f"Could not attach to network {text}: rpc error: code = PermissionDenied "
            f"desc = network {network.name} not manually attachable"
        )


def _unheard_deadline(known: KnownNetworks) -> float:
    is_member = known.context.lifecycle.local.state is LocalNodeState.ACTIVE
    knows_all = known.cluster is not None and known.cluster.is_leader
    return UNHEARD_DEADLINE_S if is_member and not knows_all else 0.0
