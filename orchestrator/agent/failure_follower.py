"""Keeps the node away from nodes that are held dead, long before the managers decide what becomes of them.

That is its data plane, and its session with a leader that may be among them. Beside the configurations and never in
their way: what the managers wait for, a revision in force with its flows measured, is reported by `network_follower` as
if nobody were dead.
"""

import asyncio
import logging
from collections.abc import Callable

from orchestrator.interfaces import DataPlane, FailureDetector

logger = logging.getLogger(__name__)

RETRY_INTERVAL_S = 0.5
"""Before the kernel is asked again that refused."""


class FailureFollower:
    """Hands the verdicts of one failure detector to one data plane, and to `held_dead` as they come."""

    def __init__(
        self, detector: FailureDetector, data_plane: DataPlane, *, held_dead: Callable[[frozenset[str]], None]
    ) -> None:
        self._detector = detector
        self._data_plane = data_plane
        self._held_dead = held_dead

    async def run(self) -> None:
        """Follow until cancelled."""
        avoided: frozenset[str] = frozenset()
        # What an earlier session avoided may live by now.
        is_known = False
        while True:
            dead = self._detector.dead
            if is_known and dead == avoided:
                await self._detector.wait_changed()
                continue
            self._held_dead(dead)
            try:
                await self._data_plane.avoid(dead)
            except OSError as error:
                logger.error("the balancers could not be changed: %s", error)
                await asyncio.sleep(RETRY_INTERVAL_S)
                continue
            if dead != avoided:
                logger.info("balancing without nodes: %s", ", ".join(sorted(dead)) or "none left out")
            avoided, is_known = dead, True
