"""Lets a node go: its tasks run elsewhere and are drained before it may stop them, and it votes no more.

Runs on the leader, asked by the node that leaves. What cannot be moved in time is ended by the node all the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from orchestrator.interfaces import Store
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.node import Node, NodeRole, NodeState
from orchestrator.model.task import TaskState
from orchestrator.state.actions import BeginLeaving, SetNodeState

logger = logging.getLogger(__name__)

DRAIN_DEADLINE_S = 75.0
"""Enough for a replacement to start and for a whole drain (60 s by default)."""
LEFT = "node left the swarm"


class Leaving:
    """The leader's part in `docker swarm leave`."""

    def __init__(self, store: Store, demote: Callable[[Node], Awaitable[None]]) -> None:
        self._store = store
        self._demote = demote

    async def let_go(self, node_id: str) -> None:
        """Return when the node may end its containers: it is down for the cluster, and nothing is sent to it.

        Raises `NotFound` when it is no member, `FailedPrecondition` when it is the last manager or the others would
        not be a majority, `Unavailable` when this manager does not lead any more.
        """
        node = self._store.state.node(node_id)
        if node.state is not NodeState.DOWN or not node.is_leaving:
            await self._store.propose((BeginLeaving(node_id),))
            await self._drained(node_id)
        node = self._store.state.node(node_id)
        if node.role is NodeRole.MANAGER:
            await self._demote(node)
        await self._store.propose((SetNodeState(node_id, NodeState.DOWN, LEFT),))
        logger.info("node left node=%s", node_id)

    async def replaced(self, address: str, *, is_there: bool) -> None:
        """A machine joins anew from this address: the node it was before is gone, whether or not it could say so.

        `is_there`: it asks from that very address. Otherwise it may only have the wrong one, and a node that is up
        there stays: `InvalidArgument`. Raises as `let_go` too: a manager that has lost its log must not vote in its old
        place, for it might undo what was committed.
        """
        for former in [node for node in self._store.state.nodes.values() if node.address == address]:
            if former.is_leaving and former.state is NodeState.DOWN and former.role is NodeRole.WORKER:
                continue
            if former.is_ready and not is_there:
                raise InvalidArgument(
                    f"the address {address} is that of node {former.description.hostname}, which is up: "
                    "advertise an address of this machine, or remove that node first"
                )
            if former.role is NodeRole.MANAGER:
                await self._demote(former)
            await self._store.propose((BeginLeaving(former.id), SetNodeState(former.id, NodeState.DOWN, LEFT)))

    async def _drained(self, node_id: str) -> None:
        changed = asyncio.Event()
        unsubscribe = self._store.subscribe(changed.set)
        try:
            async with asyncio.timeout(DRAIN_DEADLINE_S):
                while self._store.is_leader and self._holds_tasks(node_id):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            logger.warning("a node leaves with tasks on it node=%s", node_id)
        finally:
            unsubscribe()

    def _holds_tasks(self, node_id: str) -> bool:
        tasks = self._store.state.tasks_on_node(node_id)
        return any(TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING for task in tasks)
