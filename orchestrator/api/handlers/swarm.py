"""Founding, joining, leaving, reading and changing the cluster as a whole."""

import asyncio
import ipaddress
from collections.abc import Iterator
from dataclasses import replace

from aiohttp import web

from orchestrator.api import errors, requests
from orchestrator.api.backend import Addresses, ClusterBackend, InitOptions, JoinOptions, LocalNodeState
from orchestrator.api.context import CONTEXT, Context
from orchestrator.api.convert.swarm import cluster_to_wire, spec_from_wire
from orchestrator.api.convert.units import choice
from orchestrator.api.proposals import propose
from orchestrator.api.responses import empty_response, json_response
from orchestrator.api.wire import swarm as wire
from orchestrator.control.cluster_rules import RotationStep, leave_refusal, rotation_step, validate_cluster_spec
from orchestrator.model.cluster import DEFAULT_SUBNET_SIZE, Cluster, ClusterSpec
from orchestrator.model.errors import InvalidArgument, NotSupported, WrongKey
from orchestrator.model.joining import SWARM_CONNECT_TIMEOUT_S
from orchestrator.model.node import Availability
from orchestrator.state.actions import (
    AbortRootRotation,
    Action,
    BeginRootRotation,
    RotateJoinTokens,
    SetUnlockKey,
    UpdateClusterSpec,
)

JOIN_TIMEOUT = (
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the "
    '"docker info" command to see the current swarm status of your node.'
)
_DATA_PATH_PORTS = range(1024, 49152)
_MAX_SUBNET_SIZE = 29


async def init(request: web.Request) -> web.StreamResponse:
    """`POST /swarm/init`: found a cluster; answers the node's id."""
    context = request.app[CONTEXT]
    body = await requests.read_body(request, wire.InitRequest)
    _check_may_init(context, force=body.force_new_cluster)
    _check_address("ListenAddr", body.listen_addr)
    spec = spec_from_wire(body.spec or wire.SwarmSpec())
    spec = replace(spec, auto_lock_managers=spec.auto_lock_managers or body.auto_lock_managers)
    validate_cluster_spec(spec)
    if spec.signing_certificate:
        raise NotSupported("a swarm is founded with a root certificate of its own: rotate it to another afterwards")
    _check_network_defaults(body)
    try:
        node_id = await context.lifecycle.init(
            InitOptions(
                addresses=_addresses(body),
                spec=spec,
                availability=_availability(body.availability),
                data_path_port=body.data_path_port,
                default_address_pools=body.default_addr_pool,
                subnet_size=body.subnet_size,
                force_new_cluster=body.force_new_cluster,
            )
        )
    except InvalidArgument as error:
        # Docker checks addresses before it asks the cluster, so this one has no marks of gRPC.
        raise errors.BadRequest(str(error)) from error
    return json_response(node_id)


async def join(request: web.Request) -> web.StreamResponse:
    """`POST /swarm/join`: join a cluster; one that takes too long goes on in the background."""
    context = request.app[CONTEXT]
    body = await requests.read_body(request, wire.JoinRequest)
    if context.lifecycle.local.state is not LocalNodeState.INACTIVE:
        raise errors.NotAvailable(errors.ALREADY_IN_SWARM)
    _check_address("ListenAddr", body.listen_addr)
    if not body.remote_addrs:
        raise errors.BadRequest("at least 1 RemoteAddr is required to join")
    for address in body.remote_addrs:
        _check_address("remoteAddr", address)
    options = JoinOptions(
        addresses=_addresses(body),
        remote_managers=body.remote_addrs,
        token=body.join_token,
        availability=_availability(body.availability),
    )
    joining = context.start(context.lifecycle.join(options), name="join")
    done, _ = await asyncio.wait({joining}, timeout=SWARM_CONNECT_TIMEOUT_S)
    if not done:
        raise errors.NotAvailable(JOIN_TIMEOUT)
    try:
        joining.result()
    except InvalidArgument as error:
        raise errors.BadRequest(str(error)) from error
    return empty_response()


async def leave(request: web.Request) -> web.StreamResponse:
    """`POST /swarm/leave`: leave the cluster; a manager only by force."""
    context = request.app[CONTEXT]
    force = requests.flag(request, "force")
    local = context.lifecycle.local
    if local.state is LocalNodeState.INACTIVE:
        raise errors.NotAvailable(errors.NO_SWARM)
    if local.state is LocalNodeState.LOCKED and not force:
        raise errors.NotAvailable(errors.SWARM_LOCKED)
    if local.is_manager and not force:
        cluster = context.cluster()
        raise errors.NotAvailable(leave_refusal(None if cluster is None else cluster.state.managers))
    await context.lifecycle.leave(force=force)
    return empty_response()


async def unlock(request: web.Request) -> web.StreamResponse:
    """`POST /swarm/unlock`: go on after a restart, with the key that the manager's own are sealed under."""
    context = request.app[CONTEXT]
    body = await requests.read_body(request, wire.UnlockRequest)
    if context.lifecycle.local.state is not LocalNodeState.LOCKED:
        context.manager()
        raise errors.Conflict("swarm is not locked")
    try:
        await context.lifecycle.unlock(body.unlock_key)
    except WrongKey as error:
        raise errors.Unauthorized(str(error)) from error
    except InvalidArgument as error:
        raise errors.BadRequest(str(error)) from error
    return empty_response()


async def inspect(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /swarm`: the cluster with its join tokens."""
    return json_response(cluster_to_wire(_record(cluster), with_tokens=True))


async def unlock_key(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`GET /swarm/unlockkey`: empty while managers are not locked."""
    return json_response({"UnlockKey": _record(cluster).unlock_key})


async def update(request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
    """`POST /swarm/update`: change the settings, make join tokens anew."""
    body = await requests.read_body(request, wire.SwarmSpec)
    version = requests.object_version(request, "swarm")
    rotate_worker = requests.strict_flag(request, "rotateWorkerToken")
    rotate_manager = requests.strict_flag(request, "rotateManagerToken")
    rotate_unlock_key = requests.strict_flag(request, "rotateManagerUnlockKey")
    spec = spec_from_wire(body)
    validate_cluster_spec(spec)
    record = _record(cluster)
    actions: list[Action] = [UpdateClusterSpec(version=version, spec=spec)]
    actions.extend(_rotation(cluster, record, spec, body.ca_config.signing_ca_key if body.ca_config else ""))
    actions.extend(_lock(cluster, record, spec, rotate=rotate_unlock_key))
    if rotate_worker or rotate_manager:
        actions.append(
            RotateJoinTokens(
                worker_token=_next_token(record.worker_token, cluster) if rotate_worker else None,
                manager_token=_next_token(record.manager_token, cluster) if rotate_manager else None,
            )
        )
    await propose(cluster, actions)
    return empty_response()


def _lock(cluster: ClusterBackend, record: Cluster, spec: ClusterSpec, *, rotate: bool) -> Iterator[Action]:
    """What becomes of the key that managers are locked with."""
    if not spec.auto_lock_managers:
        if record.unlock_key:
            yield SetUnlockKey("")
    elif rotate or not record.unlock_key:
        yield SetUnlockKey(cluster.new_unlock_key())


def _rotation(cluster: ClusterBackend, record: Cluster, spec: ClusterSpec, key: str) -> Iterator[Action]:
    """What becomes of the root certificate under the new settings."""
    step = rotation_step(record, spec, key)
    if step is RotationStep.BEGIN:
        yield BeginRootRotation(cluster.new_root(spec.signing_certificate, key))
    elif step is RotationStep.ABORT:
        yield AbortRootRotation()


def _record(cluster: ClusterBackend) -> Cluster:
    if cluster.state.cluster is None:
        raise errors.NotAvailable(errors.NO_SWARM)
    return cluster.state.cluster


def _next_token(token: str, cluster: ClusterBackend) -> str:
    """The token with a new secret; what comes before it names the cluster's certificate authority."""
    return f"{token.rpartition('-')[0]}-{cluster.new_secret()}"


def _check_may_init(context: Context, *, force: bool) -> None:
    local = context.lifecycle.local
    if local.state is LocalNodeState.INACTIVE:
        return
    if not force:
        raise errors.NotAvailable(errors.ALREADY_IN_SWARM)
    if not local.is_manager:
        raise errors.NotAvailable(errors.NOT_A_MANAGER)


def _check_address(name: str, address: str) -> None:
    if not address:
        raise errors.BadRequest(f'invalid {name} "": invalid empty address')


def _addresses(body: wire.InitRequest | wire.JoinRequest) -> Addresses:
    return Addresses(listen=body.listen_addr, advertise=body.advertise_addr, data_path=body.data_path_addr)


def _check_network_defaults(body: wire.InitRequest) -> None:
    if body.data_path_port and body.data_path_port not in _DATA_PATH_PORTS:
        raise errors.BadRequest(f"Datapath port number is not in valid range (1024-49151) : {body.data_path_port}")
    if not 0 <= body.subnet_size <= _MAX_SUBNET_SIZE:
        raise errors.BadRequest(f"subnet size is out of range: {body.subnet_size}")
    subnet_size = body.subnet_size or DEFAULT_SUBNET_SIZE
    for pool in body.default_addr_pool:
        try:
            network = ipaddress.IPv4Network(pool)
        except ValueError as error:
            raise errors.BadRequest(f"invalid CIDR address: {pool}") from error
        if network.prefixlen > subnet_size:
            raise errors.BadRequest(f'invalid CIDR: "{pool}". Subnet size is too small for pool: {subnet_size}')


def _availability(text: str) -> Availability:
    return choice(Availability, text, Availability.ACTIVE, 'invalid Availability: "{}"')
