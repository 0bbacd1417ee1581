"""Which managers keep the state: one change at a time, made by the leader.

Raft's single-server change, as PySyncObj does it: a change is in force where it is appended, refused while another is
not committed, and counted in the majority at once. So the second manager's own answer is needed to commit its joining:
a joining manager starts its store first, silent until the leader speaks to it (`Beginning.JOINING`), and is added then.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from orchestrator.model.errors import FailedPrecondition, NoLeader, Unavailable
from orchestrator.raft.node import RaftStore
from orchestrator.raft.proposals import ChangeDenied
from orchestrator.raft.replica import Replica

CHANGE_TIMEOUT = 10.0
"""Seconds for a change of the managers, its committing included."""
_REACH_TIMEOUT = 5.0
_RETRY_PERIOD = 0.05


class Membership:
    """Adds and removes managers through the leader's store."""

    def __init__(self, store: RaftStore) -> None:
        self._store = store

    def voters(self) -> Collection[str]:
        """Addresses of the other managers."""
        return self._store.peers.keys()

    async def add_manager(self, address: str, *, timeout: float = CHANGE_TIMEOUT) -> None:
        """Make the node at `address`, whose store has started, a manager. Idempotent.

        Raises `Unavailable` when this manager does not lead, when the node cannot be reached (nothing is changed
        then: adding a dead manager could cost the majority), or when the change is not committed in `timeout` seconds.
        """
        if address == self._store.address or address in self._store.peers:
            return
        node_id = self._store.node_id(address)
        await self._reach(address)
        await self._change(
            lambda replica, callback: replica.addNodeToCluster(node_id, callback),
            lambda: address in self._store.peers,
            timeout,
        )

    async def remove_manager(self, address: str, *, timeout: float = CHANGE_TIMEOUT) -> None:
        """Let the managers forget the one at `address`, which may be dead. Idempotent.

        Raises `Unavailable` as `add_manager` does. A leader cannot remove itself: it hands leadership over and raises
        `Unavailable`, for the new leader to do it. `FailedPrecondition` when it is the only manager, or when too few
        of those who stay answer to be a majority.
        """
        if address == self._store.address:
            if not self._store.peers:
                raise FailedPrecondition("attempting to demote the last manager of the swarm")
            await self.transfer_leadership(timeout=timeout)
            raise Unavailable("this manager led the swarm; its successor can remove it")
        if address not in self._store.peers:
            return
        self._keep_quorum(address)
        node_id = self._store.node_id(address)
        await self._change(
            lambda replica, callback: replica.removeNodeFromCluster(node_id, callback),
            lambda: address not in self._store.peers,
            timeout,
        )

    def _keep_quorum(self, leaving: str) -> None:
        staying = [peer for peer in self._store.peers if peer != leaving]
        answering = set(self._store.answering_peers) & set(staying)
        if 2 * (1 + len(answering)) <= 1 + len(staying):
            raise FailedPrecondition("can't remove member from the raft: this would result in a loss of quorum")

    async def transfer_leadership(self, *, timeout: float = CHANGE_TIMEOUT) -> None:
        """Let the follower with the most complete log take over; returns once this manager does not lead.

        Raises `Unavailable` when none did in `timeout` seconds: followers must have the whole log, so writes delay it.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self._store.is_leader:
            if loop.time() >= deadline:
                raise Unavailable("no other manager took over the leadership")
            self._store.ask_for_successor()
            await asyncio.sleep(_RETRY_PERIOD)

    async def _change(
        self,
        submit: Callable[[Replica, Callable[[Any, int], None]], None],
        done: Callable[[], bool],
        timeout: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            try:
                await self._store.commit(submit, max(deadline - loop.time(), 0.0))
            except ChangeDenied as error:
                # Three reasons: another change is being committed, the leader's first entry is, or it is done already.
                if done():
                    return
                if loop.time() >= deadline:
                    raise NoLeader from error
                await asyncio.sleep(_RETRY_PERIOD)
            else:
                return

    async def _reach(self, address: str) -> None:
        host, _, port = self._store.node_id(address).rpartition(":")
        try:
            async with asyncio.timeout(_REACH_TIMEOUT):
                _, writer = await asyncio.open_connection(host, int(port))
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"could not connect to the prospective manager at {host}:{port}") from error
        writer.close()
