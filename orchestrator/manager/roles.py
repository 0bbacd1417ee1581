"""Takes managers that shall be none any more out of the consensus, one at a time.

The other way, a node that shall become a manager acts itself: it gets a manager's certificate, starts its store, and
asks to be made a voter (`manager/joining.py`). Follows swarmkit's `manager/role_manager.go`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace

from orchestrator.interfaces import Store
from orchestrator.model.errors import ClusterError
from orchestrator.model.node import Node, NodeRole
from orchestrator.state.actions import Action, SetNodeRole, UpdateNodeSpec

logger = logging.getLogger(__name__)

RETRY_INTERVAL_S = 1.0
"""After a removal that failed: for want of a majority, or because this manager leads and hands over first."""


class RoleKeeper:
    """While this manager leads, makes the managers those the operator wants."""

    def __init__(
        self,
        store: Store,
        remove_raft_member: Callable[[str], Awaitable[None]],
        voters: Callable[[], Collection[str]],
    ) -> None:
        """`voters`: addresses of the other managers, as the consensus has them."""
        self._store = store
        self._voters = voters
        self._remove_raft_member = remove_raft_member
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Demote whenever this manager leads, until cancelled."""
        unsubscribe = self._store.subscribe(self._changed.set)
        try:
            while True:
                self._changed.clear()
                if await self._demote_all() and await self._expel_ghosts():
                    await self._changed.wait()
                else:
                    await asyncio.sleep(RETRY_INTERVAL_S)
        finally:
            unsubscribe()

    async def _demote_all(self) -> bool:
        """Returns whether nothing is left to do here.

        One that cannot go yet keeps no other: without a dead manager, say, there may be the majority that it lacks.
        """
        is_done = True
        for node in self._surplus():
            if not self._store.is_leader:
                break
            try:
                await self.demote(node)
            except ClusterError as error:
                logger.info("not demoted yet node=%s: %s", node.id, error)
                is_done = False
        return is_done

    async def _expel_ghosts(self) -> bool:
        """Take voters out that no manager in the state accounts for; returns whether nothing is left to do here.

        A leader that dies between making a node a voter and noting it leaves one, should the node be demoted or
        removed before it asks again: one more to be outvoted, for ever.
        """
        for address in self._ghosts():
            try:
                await self._remove_raft_member(address)
            except ClusterError as error:
                logger.info("still a voter though no manager address=%s: %s", address, error)
                return False
            logger.warning("a voter that was no manager is none any more address=%s", address)
        return True

    def _ghosts(self) -> list[str]:
        if not self._store.is_leader:
            return []
        nodes = self._store.state.nodes.values()
        known = {node.address for node in nodes if NodeRole.MANAGER in (node.role, node.spec.role)}
        return sorted(address for address in self._voters() if address not in known)

    async def demote(self, node: Node) -> None:
        """Take the node out of the consensus and note it. Raises `ClusterError` when that is not possible now."""
        await self._remove_raft_member(node.address)
        await self._store.propose((SetNodeRole(node.id, NodeRole.WORKER),))
        logger.info("demoted node=%s", node.id)

    def _surplus(self) -> list[Node]:
        """Others first: when its own turn comes, the leader hands over, and its successor demotes it."""
        unwanted = [node for node in self._store.state.managers if node.spec.role is NodeRole.WORKER]
        return sorted(unwanted, key=lambda node: node.address == self._store.leader_address)


def demotions_of_others(nodes: Iterable[Node], own_id: str) -> list[Action]:
    """What makes workers of all other managers."""
    demotions: list[Action] = []
    for node in nodes:
        if node.id != own_id and node.spec.role is NodeRole.MANAGER:
            demotions.append(UpdateNodeSpec(node.id, node.version, replace(node.spec, role=NodeRole.WORKER)))
        if node.id != own_id and node.role is NodeRole.MANAGER:
            demotions.append(SetNodeRole(node.id, NodeRole.WORKER))
    return demotions
