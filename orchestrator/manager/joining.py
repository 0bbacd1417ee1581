"""Admits nodes: checks the token, signs the certificate, adds the node to the state and managers to the Raft group.

A manager joins in two steps: first as a node (`/join`), then, when its Raft transport listens, as a voter (`/raft`).
Adding a voter that does not answer yet could cost the others their majority.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from orchestrator import clock
from orchestrator.control.network_admission import check_node_address
from orchestrator.interfaces import Store
from orchestrator.manager import authority
from orchestrator.manager.leaving import Leaving
from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import ClusterError, InvalidArgument, Unavailable
from orchestrator.model.joining import JoinReply, JoinRequest, RenewRequest
from orchestrator.model.limits import MAX_JOIN_BYTES
from orchestrator.model.node import Node, NodeRole, NodeSpec, Reachability
from orchestrator.model.session import REDIRECT_HEADER
from orchestrator.model.subnets import is_ipv4
from orchestrator.state.actions import AddNode, SetNodeRole

logger = logging.getLogger(__name__)


class Joining:
    """What members and strangers ask of the leader; other managers name the leader."""

    def __init__(
        self,
        store: Store,
        *,
        add_raft_member: Callable[[str], Awaitable[None]],
        leaving: Leaving,
        manager_addresses: Callable[[], tuple[str, ...]],
        secrets_key: str,
        node_id_of: Callable[[web.Request], str],
    ) -> None:
        self._store = store
        self._add_raft_member = add_raft_member
        self._leaving = leaving
        self._manager_addresses = manager_addresses
        self._secrets_key = secrets_key
        self._node_id_of = node_id_of
        # Raft takes one change of membership at a time.
        self._one_at_a_time = asyncio.Lock()

    async def handle_join(self, request: web.Request) -> web.StreamResponse:
        """POST /join: answer a JoinRequest with a JoinReply, or one line that says why not."""

        async def admit() -> web.StreamResponse:
            wanted = msgspec.json.decode(await _read(request), type=JoinRequest)
            return web.Response(
                body=msgspec.json.encode(await self._admit(wanted, request.remote)), content_type="application/json"
            )

        return await self._on_leader(admit)

    async def handle_raft_member(self, request: web.Request) -> web.StreamResponse:
        """POST /raft: make the manager whose certificate this is a voter."""
        node_id = self._node_id_of(request)

        async def add() -> web.StreamResponse:
            node = self._store.state.node(node_id)
            if node.spec.role is not NodeRole.MANAGER:
                raise InvalidArgument(f"node {node_id} is not to be a manager")
            async with self._one_at_a_time:
                await self._add_raft_member(node.address)
            if node.role is not NodeRole.MANAGER:
                await self._store.propose((SetNodeRole(node_id, NodeRole.MANAGER),))
                logger.info("promoted node=%s", node_id)
            return web.Response(status=204)

        return await self._on_leader(add)

    async def handle_renew(self, request: web.Request) -> web.StreamResponse:
        """POST /renew: answer a member's RenewRequest with a JoinReply, its certificate naming its role of now."""
        node_id = self._node_id_of(request)

        async def renew() -> web.StreamResponse:
            wanted = msgspec.json.decode(await _read(request), type=RenewRequest)
            cluster, node = self._cluster(), self._store.state.node(node_id)
            role = node.certified_role
            certificate = authority.sign(cluster, wanted.certificate_request, node_id, role, clock.now())
            logger.info("certificate renewed node=%s role=%s", node_id, role)
            reply = self._reply(cluster, node, role, certificate)
            return web.Response(body=msgspec.json.encode(reply), content_type="application/json")

        return await self._on_leader(renew)

    async def handle_leave(self, request: web.Request) -> web.StreamResponse:
        """POST /leave: answered when the node whose certificate this is may end its containers."""
        node_id = self._node_id_of(request)

        async def leave() -> web.StreamResponse:
            await self._leaving.let_go(node_id)
            return web.Response(status=204)

        return await self._on_leader(leave)

    async def _on_leader(self, answer: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        if not self._store.is_leader:
            leader = self._store.leader_address
            headers = {REDIRECT_HEADER: self._store.state.management_address_at(leader)} if leader else {}
            return web.Response(status=421, text="this manager does not lead", headers=headers)
        try:
            # A deposed leader must not give a demoted node a manager's certificate.
            await self._store.catch_up()
            return await answer()
        except (msgspec.DecodeError, UnicodeError, RecursionError, InvalidArgument) as error:
            return web.Response(status=400, text=str(error))
        except ClusterError as error:
            return web.Response(status=503, text=str(error))

    async def _admit(self, wanted: JoinRequest, asked_from: str | None) -> JoinReply:
        cluster = self._cluster()
        role = authority.verify_token(cluster, wanted.token)
        if not is_ipv4(wanted.address):
            # It goes into every node's kernel: a token is no reason to trust it.
            raise InvalidArgument("the node's address is not an IPv4 address")
        node_id = authority.node_id_for(wanted.certificate_request)
        node = self._store.state.nodes.get(node_id)
        if node is None:
            check_node_address(self._store.state, wanted.address)
            await self._leaving.replaced(wanted.address, is_there=wanted.address == asked_from)
            node = _new_node(node_id, role, wanted)
            await self._store.propose((AddNode(node),))
            logger.info("node joined node=%s role=%s address=%s", node_id, role, wanted.address)
        elif node.role is not role:
            raise InvalidArgument(f"node {node_id} has joined as a {node.role}")
        certificate = authority.sign(cluster, wanted.certificate_request, node_id, role, clock.now())
        return self._reply(cluster, node, role, certificate)

    def _cluster(self) -> Cluster:
        cluster = self._store.state.cluster
        if cluster is None:
            raise Unavailable("this manager has no cluster yet")
        return cluster

    def _reply(self, cluster: Cluster, node: Node, role: NodeRole, certificate: str) -> JoinReply:
        peers = tuple(m.address for m in self._store.state.managers if m.address != node.address)
        is_manager = role is NodeRole.MANAGER
        return JoinReply(
            node_id=node.id,
            cluster_id=cluster.id,
            role=role,
            certificate=certificate,
            ca_certificate=cluster.ca_certificate,
            managers=self._manager_addresses(),
            secrets_key=self._secrets_key if is_manager else "",
            raft_peers=peers if is_manager else (),
        )


async def _read(request: web.Request) -> bytes:
    """The body, which is small. Raises `web.HTTPRequestEntityTooLarge`."""
    return await request.clone(client_max_size=MAX_JOIN_BYTES).read()


def _new_node(node_id: str, role: NodeRole, wanted: JoinRequest) -> Node:
    return Node(
        id=node_id,
        spec=NodeSpec(role=role, availability=wanted.availability),
        description=wanted.description,
        address=wanted.address,
        management_port=wanted.management_port,
        role=role,
        reachability=Reachability.REACHABLE if role is NodeRole.MANAGER else Reachability.UNKNOWN,
    )
