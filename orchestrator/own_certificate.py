"""This node's certificate: what it says, and what follows when it is exchanged for another one."""

import asyncio
import logging
from dataclasses import replace

from orchestrator.agent import joining
from orchestrator.kept_membership import KeptMembership
from orchestrator.manager import authority, roots
from orchestrator.model.joining import SWARM_CONNECT_TIMEOUT_S, JoinReply, RenewRequest
from orchestrator.model.node import NodeRole, NodeTrust
from orchestrator.node_parts import NodeParts

logger = logging.getLogger(__name__)


class OwnCertificate:
    """What the certificate keeper (`agent/certificate_keeper.py`) keeps true."""

    def __init__(self, kept: KeptMembership, parts: NodeParts, changing: asyncio.Lock) -> None:
        self._kept = kept
        self._parts = parts
        self._changing = changing

    @property
    def certified_role(self) -> NodeRole:
        """The role the present certificate names."""
        return self._kept.identity.role if self._kept.identity else NodeRole.WORKER

    @property
    def validity(self) -> tuple[float, float]:
        """When the present certificate was issued and when it ends, seconds since the epoch."""
        own, _ = self._kept.pair
        return own.issued_at, own.expires_at

    @property
    def trust(self) -> NodeTrust:
        """The root that is trusted, and who vouches for the present certificate."""
        own, _ = self._kept.pair
        return roots.trust_of(own.certificate_pem, own.ca_pem)

    async def renew(self) -> None:
        """Get a new certificate, live by it, and take on the role it names. Raises `ClusterError` and `OSError`."""
        key, request = authority.certificate_request()
        reply = await joining.renew(
            RenewRequest(request), self._managers, self._parts.connecting(), SWARM_CONNECT_TIMEOUT_S
        )
        async with self._changing:
            if self._kept.identity is not None:
                await self._live_by(reply, key)

    async def trust_root(self, root: str) -> None:
        """Trust this root (PEM) and no other, from the next connection on."""
        async with self._changing:
            if self._kept.identity is not None:
                own, membership = self._kept.pair
                self._kept.save(own.trusting(root), membership)
                self._parts.make_contexts(own.trusting(root))

    async def become_voter(self) -> None:
        """Ask to take part in the consensus. Raises `ClusterError`, and `OSError` when the store cannot be started."""
        async with self._changing:
            if self._parts.manager is None and self._kept.remembered is not None:
                # It could not be when the certificate was exchanged.
                await self._parts.start_manager(self._kept.remembered)
        await joining.become_raft_member(self._managers, self._parts.connecting(), SWARM_CONNECT_TIMEOUT_S)

    @property
    def _managers(self) -> tuple[str, ...]:
        return self._parts.agent.managers if self._parts.agent else ()

    async def _live_by(self, reply: JoinReply, key: str) -> None:
        before, remembered = self._kept.pair
        own = replace(
            before, role=reply.role, certificate_pem=reply.certificate, key_pem=key, ca_pem=reply.ca_certificate
        )
        membership = replace(
            remembered,
            managers=reply.managers,
            secrets_key=reply.secrets_key,
            raft_peers=reply.raft_peers,
        )
        self._kept.save(own, membership)
        if own.role is NodeRole.WORKER:
            self._kept.lock_as("")
        self._parts.make_contexts(own)
        if own.role is not before.role:
            logger.info("this node is a %s now", own.role)
            await self._parts.change_role(own.role, membership)
