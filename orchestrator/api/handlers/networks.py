"""Networks: the cluster's overlays are answered here, everything else is the node's engine's and handed on."""

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from orchestrator.api import requests
from orchestrator.api.backend import ClusterBackend
from orchestrator.api.carried_networks import names_when_carried
from orchestrator.api.context import CONTEXT
from orchestrator.api.convert.network import resource_of, wish_from_wire
from orchestrator.api.errors import BadRequest, Conflict, NotAllowed, ObjectNotFound
from orchestrator.api.hand_started_rules import wrong_address
from orchestrator.api.known_networks import LABEL_NETWORK_ID, KnownNetworks, refuse_nodes_own
from orchestrator.api.list_filters import Filters, parse_filters
from orchestrator.api.proposals import propose
from orchestrator.api.prune_until import until_moment
from orchestrator.api.responses import empty_response, json_response
from orchestrator.api.wire import network as wire
from orchestrator.control.network_admission import NetworkWish, admit_network
from orchestrator.model.errors import ClusterError, FailedPrecondition, Forbidden, NoLeader, Unavailable
from orchestrator.model.network import Network
from orchestrator.state.actions import CreateNetwork, RemoveNetwork

NAME_DEADLINE_S = 20.0
"""Swarm mode's default grace period of a stop is 10 s."""
CREATE_ATTEMPTS = 20
"""So many networks may come first, each of them another."""
FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
PRUNE_FILTERS = ("label", "label!", "until")
_PREDEFINED = ("bridge", "host", "none", "default")

_logger = logging.getLogger(__name__)


async def list_networks(request: web.Request) -> web.StreamResponse:
    """`GET /networks`: the engine's own and the cluster's."""
    filters = parse_filters(request.query.get("filters", ""))
    filters.accept(FILTERS)
    kinds = filters.choice("type", ("builtin", "custom"))
    known = await KnownNetworks.of(request)
    found = await known.local(dict(request.query))
    for network in known.networks.values():
        resource = resource_of(network)
        if _matches(network, filters) and kinds != ("builtin",) and await _is_wanted(known, network, filters):
            found.append(resource)
    return json_response(found)


async def inspect(request: web.Request) -> web.StreamResponse:
    """`GET /networks/{id}`; `scope` says whose, `verbose` asks for the services on it."""
    text, scope = request.match_info["id"], request.query.get("scope", "")
    verbose = requests.flag(request, "verbose")
    known = await KnownNetworks.of(request)
    network = await known.meant_by(text, scope)
    if isinstance(network, dict):
        return json_response(network)
    if scope in ("", "swarm") and not known.is_current:
        # It may have been made or removed since: neither an old answer nor "not found" would be true.
        raise NoLeader
    if network is not None:
        return json_response(await known.inspected(network, verbose=verbose))
    if scope in ("", "swarm") and known.cluster is not None and not known.cluster.is_leader and known.context.forwards:
        # Just created perhaps, and this manager has not heard yet.
        return await known.context.forward(request, known.cluster)
    if scope == "swarm":
        # As the CLI asks before it creates a service.
        refuse_nodes_own(text)
    raise ObjectNotFound(f"network {text} not found")


async def create(request: web.Request) -> web.StreamResponse:
    """`POST /networks/create`: a cluster network, or one of the engine's, by its driver and scope."""
    body = await requests.read_body(request, wire.NetworkCreate)
    known = await KnownNetworks.of(request)
    if body.is_of_swarm and not known.is_current:
        raise NoLeader
    if any(network.name == body.name for network in known.networks.values()):
        raise Conflict(f"network with name {body.name} already exists")
    context = request.app[CONTEXT]
    if not body.is_of_swarm:
        wanted = await requests.read_object(request) if await request.read() else {}
        answer = await context.engine.request("POST", "/networks/create", None, wanted)
        return json_response(answer, HTTPStatus.CREATED)
    if body.name in _PREDEFINED:
        raise NotAllowed(f"operation is not permitted on predefined {body.name} network")
    cluster = context.manager()
    wish = wish_from_wire(body)
    named = json.dumps({"name": [f"^{re.escape(body.name)}$"]})
    if body.name and any(item["Name"] == body.name for item in await known.local({"filters": named})):
        raise Conflict(f"network with name {body.name} already exists")
    if not await cluster.find_leader():
        return await context.forward(request, cluster)
    if wish.attachable:
        await _wait_for_name(cluster, wish.name)
    network_id = await _create(cluster, wish)
    return json_response({"ID": network_id, "Id": network_id, "Warning": ""}, HTTPStatus.CREATED)


async def _create(cluster: ClusterBackend, wish: NetworkWish) -> str:
    """Commit the network and return its id. Raises `NotAllowed` and the `ClusterError` for which it cannot be."""
    for attempt in range(1, CREATE_ATTEMPTS + 1):
        record = cluster.state.cluster
        if record is None:
            raise FailedPrecondition("the cluster is not founded yet")
        try:
            network = admit_network(cluster.state, record, wish, cluster.new_id())
        except Forbidden as error:
            raise NotAllowed(str(error)) from error
        try:
            await propose(cluster, [CreateNetwork(network)])
        except (Forbidden, FailedPrecondition) as error:
            # Another network came first and has what was free for this one. If it is what the user chose, that is said.
            _logger.info("network is chosen anew: %s", error, extra={"network": wish.name, "attempt": attempt})
        else:
            return network.id
    raise Unavailable("other networks were created at the same time: please try again")


async def remove(request: web.Request) -> web.StreamResponse:
    """`DELETE /networks/{id}`."""
    text = request.match_info["id"]
    known = await KnownNetworks.of(request)
    network = await known.meant_by(text)
    if isinstance(network, dict):
        await known.context.engine.request("DELETE", f"/networks/{text}")
        return web.Response(status=HTTPStatus.NO_CONTENT)
    if network is None and (known.context.cluster() is None or (known.cluster is not None and known.cluster.is_leader)):
        raise ObjectNotFound(f"network {text} not found")
    cluster = known.context.manager()
    if not await cluster.find_leader() or network is None:
        return await known.context.forward(request, cluster)
    await _check_unattached(cluster, network)
    await propose(cluster, [RemoveNetwork(network.id)])
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def connect(request: web.Request) -> web.StreamResponse:
    """`POST /networks/{id}/connect`."""
    return await _attach(request, "connect")


async def disconnect(request: web.Request) -> web.StreamResponse:
    """`POST /networks/{id}/disconnect`."""
    return await _attach(request, "disconnect")


async def prune(request: web.Request) -> web.StreamResponse:
    """`POST /networks/prune`: the engine's own, and on a manager the cluster's that nothing uses."""
    filters = parse_filters(request.query.get("filters", ""))
    filters.accept(PRUNE_FILTERS)
    known = await KnownNetworks.of(request)
    passed = {name: list(filters.values(name)) for name in PRUNE_FILTERS if name in filters}
    passed["label!"] = [*passed.get("label!", []), LABEL_NETWORK_ID]
    pruned: dict[str, Any] = {}
    if known.context.forwards:
        pruned = await known.context.engine.request("POST", "/networks/prune", {"filters": json.dumps(passed)})
    deleted = list(pruned.get("NetworksDeleted") or [])
    if known.cluster is not None and known.cluster.is_leader:
        deleted += await _prune_cluster(known, known.cluster, filters)
    elif known.cluster is not None and known.context.forwards:
        answer = await known.cluster.ask_leader("POST", "/networks/prune", dict(request.query))
        deleted += answer["NetworksDeleted"] or []
    return json_response({"NetworksDeleted": deleted or None})


async def _wait_for_name(cluster: ClusterBackend, name: str) -> None:
    """Return when the last task on a removed network of that name is over, or the deadline has passed.

    Nodes' engines know attachable networks by name: while a node still carries the one, it cannot show the other.
    """

    def is_leaving() -> bool:
        return any(network.removing and network.name == name for network in cluster.state.networks.values())

    if not is_leaving():
        return
    changed = asyncio.Event()
    unsubscribe = cluster.subscribe(changed.set)
    try:
        async with asyncio.timeout(NAME_DEADLINE_S):
            while is_leaving():
                changed.clear()
                await changed.wait()
    except TimeoutError:
        _logger.warning("network takes the name of one that still has tasks", extra={"network": name})
    finally:
        unsubscribe()


async def _prune_cluster(known: KnownNetworks, cluster: ClusterBackend, filters: Filters) -> Sequence[str]:
    deleted = []
    moments = [until_moment(value, cluster.now()) for value in filters.values("until")]
    for network in known.networks.values():
        held = any(_has_label(network, value) for value in filters.values("label!"))
        is_young = any(network.created_at > moment for moment in moments)
        if network.ingress or held or is_young or not filters.labels("label", network.labels):
            continue
        try:
            await _check_unattached(cluster, network)
            await propose(cluster, [RemoveNetwork(network.id)])
        except ClusterError as error:
            _logger.debug("network is kept: %s", error, extra={"network_id": network.id})
        else:
            deleted.append(network.name)
    return deleted


async def _attach(request: web.Request, verb: str) -> web.StreamResponse:
    text = request.match_info["id"]
    body = await requests.read_object(request)
    await names_when_carried(request, (text,))
    known = await KnownNetworks.of(request)
    network = await known.meant_by(text)
    if not isinstance(network, Network):
        await known.context.engine.request("POST", f"/networks/{text}/{verb}", None, body)
        return empty_response()
    bridge = await known.bridge_of(network)
    if bridge is None:
        raise ObjectNotFound(f"network {text} not found")
    if verb == "connect":
        _check_address(await requests.read_body(request, wire.NetworkConnect), bridge)
    await known.context.engine.request("POST", f"/networks/{bridge['Id']}/{verb}", None, body)
    return empty_response()


def _check_address(body: wire.NetworkConnect, bridge: dict[str, Any]) -> None:
    ipam = body.endpoint_config.ipam_config if body.endpoint_config else None
    asked = ipam.ipv4_address if ipam else ""
    share = (bridge["IPAM"]["Config"] or [{}])[0].get("IPRange")
    if problem := wrong_address(asked or "", share or ""):
        raise BadRequest(problem)


async def _check_unattached(cluster: ClusterBackend, network: Network) -> None:
    """Refuse while a container started by hand is attached, on whichever node."""
    if not network.attachable:
        return
    for hostname, name in (await cluster.attached(network.id)).items():
        raise FailedPrecondition(f"network {network.id} is in use by container {name} on node {hostname}")


async def _is_wanted(known: KnownNetworks, network: Network, filters: Filters) -> bool:
    """Whether the `dangling` filter lets the network pass."""
    asked = filters.values("dangling")
    if not asked:
        return True
    if any(value.lower() not in ("1", "0", "t", "f", "true", "false") for value in asked):
        raise BadRequest(f"invalid filter 'dangling={asked[0]}'")
    bridge = await known.bridge_of(network)
    used = known.is_used(network) or network.ingress or bool((bridge or {}).get("Containers"))
    return asked[0].lower() in ("0", "f", "false") if used else asked[0].lower() in ("1", "t", "true")


def _matches(network: Network, filters: Filters) -> bool:
    return (
        filters.exact("driver", network.driver)
        and filters.exact("scope", "swarm")
        and filters.labels("label", network.labels)
        and _is_like(filters, "name", network.name)
        and _is_like(filters, "id", network.id)
    )


def _is_like(filters: Filters, name: str, text: str) -> bool:
    """As the engine matches names and ids: equal, or a regular expression found in it."""
    patterns = filters.patterns(name)
    return not patterns or any(pattern.is_in(text) for pattern in patterns)


def _has_label(network: Network, value: str) -> bool:
    key, _, wanted = value.partition("=")
    labels = dict(network.labels)
    return key in labels and (not wanted or labels[key] == wanted)
