"""Keeps the node's certificate valid and true to its role, and makes a promoted node a voter.

A certificate is renewed at a random point in the second half of its life, so that a cluster's nodes do not ask all at
once (swarmkit's `ca/renewer.go`), and at once when the managers want the node in another role or vouched for by
another root; for that within a second, at a random moment of it, because all nodes hear of it together.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from orchestrator import clock, identity
from orchestrator.model.errors import ClusterError
from orchestrator.model.node import NodeRole, NodeTrust

logger = logging.getLogger(__name__)

EARLIEST, LATEST = 0.5, 0.8
"""Share of the validity after which it is renewed (swarmkit's CertLowerRotationRange and CertUpperRotationRange)."""
RETRY_INTERVAL_S = 1.0
SPREAD_S = 0.5


class Membership(Protocol):
    """What the keeper needs of the node."""

    @property
    def certified_role(self) -> NodeRole:
        """The role the present certificate names."""
        ...

    @property
    def validity(self) -> tuple[float, float]:
        """When the present certificate was issued and when it ends, seconds since the epoch."""
        ...

    @property
    def trust(self) -> NodeTrust:
        """The root that is trusted, and who vouches for the present certificate."""
        ...

    async def trust_root(self, root: str) -> None:
        """Trust this root (PEM) and no other from now on."""
        ...

    async def renew(self) -> None:
        """Get a new certificate and live by it.

        Raises `ClusterError` when no manager gave one, `OSError` when it cannot be kept or its role not be taken on.
        """
        ...

    async def become_voter(self) -> None:
        """Ask to take part in the consensus. Raises `ClusterError`."""
        ...


class CertificateKeeper:
    """One node's; `heard` may be called at any time."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._wanted: NodeRole | None = None
        self._role: NodeRole | None = None
        self._trust: NodeTrust | None = None
        self._changed = asyncio.Event()

    @property
    def trust(self) -> NodeTrust:
        """Whom the node trusts and who vouches for it."""
        return self._membership.trust

    def heard(self, wanted: NodeRole | None, role: NodeRole | None, trust: NodeTrust | None = None) -> None:
        """The managers say which role the certificate is to name, which one the node has, and whom to trust."""
        if (wanted, role, trust) != (self._wanted, self._role, self._trust):
            self._wanted, self._role, self._trust = wanted, role, trust
            self._changed.set()

    async def run(self, certified: Callable[[NodeTrust], None] = lambda _: None) -> None:
        """Renew when it is time or wanted, until cancelled; `certified` is told of every change."""
        renew_at = self._next_renewal()
        while True:
            self._changed.clear()
            before = self._membership.trust
            try:
                if self._is_vouched_for_by_another():
                    await asyncio.sleep(SPREAD_S * identity.random_fraction())
                if self._is_in_wrong_role() or self._is_vouched_for_by_another() or clock.now() >= renew_at:
                    await self._membership.renew()
                    renew_at = self._next_renewal()
                await self._follow_root()
                if self._membership.trust != before:
                    certified(self._membership.trust)
                if self._waits_for_vote():
                    await self._membership.become_voter()
            except (ClusterError, OSError) as error:
                # No manager, a full disk or a port that is taken: the node goes on as it is.
                logger.warning("certificate or role not renewed yet: %s", error)
                await asyncio.sleep(RETRY_INTERVAL_S)
                continue
            # Asked to vote, the word of it comes with the next assignments: until then nothing is to be done.
            await self._wait(renew_at - clock.now())

    def _is_in_wrong_role(self) -> bool:
        return self._wanted is not None and self._wanted is not self._membership.certified_role

    def _is_vouched_for_by_another(self) -> bool:
        wanted = self._trust
        return wanted is not None and wanted.issuer_public_key != self._membership.trust.issuer_public_key

    async def _follow_root(self) -> None:
        if self._trust is not None and self._trust.root != self._membership.trust.root:
            await self._membership.trust_root(self._trust.root)

    def _waits_for_vote(self) -> bool:
        wanted = self._wanted is NodeRole.MANAGER and self._role is NodeRole.WORKER
        return wanted and self._membership.certified_role is NodeRole.MANAGER

    def _next_renewal(self) -> float:
        issued_at, expires_at = self._membership.validity
        share = EARLIEST + (LATEST - EARLIEST) * identity.random_fraction()
        return issued_at + share * (expires_at - issued_at)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, RETRY_INTERVAL_S)):
                await self._changed.wait()
        except TimeoutError:
            return
