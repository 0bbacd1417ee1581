"""Commits what a request asks for, within a deadline."""

import asyncio
import logging
from collections.abc import Sequence

from orchestrator.api.backend import ClusterBackend
from orchestrator.model.errors import TransitionRefused, Unavailable
from orchestrator.state.actions import Action

DEADLINE_S = 20.0
"""moby's `swarmRequestTimeout`."""
MAX_ATTEMPTS = 3

_logger = logging.getLogger(__name__)


async def propose(cluster: ClusterBackend, actions: Sequence[Action]) -> None:
    """Commit the actions as one batch.

    A batch that lost a race against a task's progress is proposed again, at most `MAX_ATTEMPTS` times. Raises the
    `ClusterError` with which the batch was refused, `Unavailable` when it was not committed in time.
    """
    try:
        async with asyncio.timeout(DEADLINE_S):
            for attempt in range(1, MAX_ATTEMPTS + 1):
                try:
                    return await cluster.propose(actions)
                except TransitionRefused as error:
                    _logger.warning("proposal lost a race: %s", error, extra={"attempt": attempt})
    except TimeoutError as error:
        raise Unavailable("rpc error: code = DeadlineExceeded desc = context deadline exceeded") from error
    raise Unavailable("the cluster changed at the same time: please try again")
