"""Waits of a node that has just begun to manage, on its own store."""

import asyncio
import logging
from collections.abc import Callable

from orchestrator.interfaces import Store
from orchestrator.model.errors import Unavailable

logger = logging.getLogger(__name__)

LEADER_DEADLINE_S = 10.0
SETTLE_DEADLINE_S = 5.0


async def wait_leading(store: Store) -> None:
    """Return when this manager leads. Raises `Unavailable` after `LEADER_DEADLINE_S`."""
    try:
        await _wait_until(store, lambda: store.is_leader, LEADER_DEADLINE_S)
    except TimeoutError:
        raise Unavailable(f"the first manager did not become leader within {LEADER_DEADLINE_S:g}s") from None


async def wait_settled(store: Store, node_id: str) -> None:
    """Return when the node is ready and on the mesh, or when that takes too long.

    A client that reads the node right after `swarm init` may then change it: nothing else will for now.
    """

    def is_settled() -> bool:
        state = store.state
        node, ingress = state.nodes.get(node_id), state.ingress
        return node is not None and node.is_ready and ingress is not None and ingress.id in dict(node.gateways)

    try:
        await _wait_until(store, is_settled, SETTLE_DEADLINE_S)
    except TimeoutError:
        logger.warning("the cluster is founded, but its first node is not ready yet")


async def _wait_until(store: Store, condition: Callable[[], bool], deadline: float) -> None:
    """Return when the condition holds of the store; raises `TimeoutError` after `deadline` seconds."""
    changed = asyncio.Event()
    unsubscribe = store.subscribe(changed.set)
    try:
        async with asyncio.timeout(deadline):
            while not condition():
                changed.clear()
                await changed.wait()
    finally:
        unsubscribe()
