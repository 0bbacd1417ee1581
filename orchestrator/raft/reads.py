"""Reads that wait on the event loop for what `read_index` finds out, and until it is applied here."""

import asyncio
from collections.abc import Callable
from functools import partial

from orchestrator.model.errors import NoLeader
from orchestrator.raft.replica import Replica

READ_TIMEOUT = 4.0
"""Seconds a read waits for the word of a majority: a client is to hear within 5 s that there is none."""


class Reads:
    """The reads under way on one manager."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], int | None] = {}
        """Each with the index that must be applied, once it is known."""
        self._asked_of: object = None

    async def read(self, replica: Replica, request_tick: Callable[[], None], timeout: float) -> None:
        """Return when all that was acknowledged before the call is applied. Raises `NoLeader`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            replica.reads.ask(partial(self._note, replica, future))
            request_tick()
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError as error:
            raise NoLeader from error
        finally:
            self._waiting.pop(future, None)

    def observe(self, replica: Replica) -> None:
        """After a tick: end the reads whose index is applied, and all if the leader they asked is none any more."""
        asked_of = (replica.leader_id, replica.term, replica.leader_id is None or replica.reaches_leader)
        if asked_of != self._asked_of:
            self._asked_of = asked_of
            replica.reads.fail_all()
        self._finish(replica)

    def _note(self, replica: Replica, future: asyncio.Future[None], index: int | None) -> None:
        if future.done() or future not in self._waiting:
            return
        if index is None:
            future.set_exception(NoLeader())
            return
        self._waiting[future] = index
        self._finish(replica)

    def _finish(self, replica: Replica) -> None:
        for future, index in self._waiting.items():
            if index is not None and index <= replica.raftLastApplied and not future.done():
                future.set_result(None)
