"""Proposals that wait on the event loop until their log entry is applied here."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from pysyncobj import FAIL_REASON

from orchestrator.model.errors import ClusterError, LostLeadership, NoLeader


class ChangeDenied(Exception):
    """PySyncObj refused a change of the managers: another one is under way, or there is nothing to change."""


class Proposals:
    """The proposals under way on one manager; false when there are none."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def commit(self, submit: Callable[[Callable[[Any, int], None]], None], timeout: float) -> None:
        """Submit an entry, with the callback for PySyncObj, and return once it is applied; `timeout` in seconds.

        Raises `NoLeader` when time is over, `ChangeDenied`, the `ClusterError` that applying the entry returned, or
        what `fail` was given.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            submit(partial(_resolve, future))
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError as error:
            raise NoLeader from error
        finally:
            del self._waiting[future]

    def fail(self, why: ClusterError) -> None:
        """End all that wait. Their entries may still be applied."""
        for future in self._waiting:
            if not future.done():
                future.set_exception(why)


def _resolve(future: asyncio.Future[None], result: ClusterError | None, reason: int) -> None:
    """PySyncObj's callback for a submitted entry: what applying it returned, and a FAIL_REASON."""
    if future.done():
        return
    if reason == FAIL_REASON.REQUEST_DENIED:
        future.set_exception(ChangeDenied())
    elif reason != FAIL_REASON.SUCCESS:
        future.set_exception(NoLeader() if reason == FAIL_REASON.MISSING_LEADER else LostLeadership())
    elif result is not None:
        future.set_exception(result)
    else:
        future.set_result(None)
