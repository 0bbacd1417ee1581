"""Background work: of several things run side by side, the first to end decides."""

import asyncio

import pytest

from orchestrator.duties import first_ended


async def _value() -> str:
    return "done"


async def _failure() -> None:
    raise OSError("no route")


class _Endless:
    """A work that never ends, and remembers that it was cancelled."""

    def __init__(self) -> None:
        self.was_cancelled = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


def test_the_first_to_end_is_told_and_the_other_is_cancelled() -> None:
    async def scenario() -> None:
        endless = _Endless()
        first, second = await first_ended(_value(), endless.run())
        assert first is not None
        assert first.result() == "done"
        assert second is None
        assert endless.was_cancelled

    asyncio.run(scenario())


def test_a_failure_is_left_to_the_caller() -> None:
    async def scenario() -> None:
        endless = _Endless()
        first, second = await first_ended(endless.run(), _failure())
        assert first is None
        assert second is not None
        with pytest.raises(OSError, match="no route"):
            second.result()

    asyncio.run(scenario())


def test_nothing_has_ended_in_time() -> None:
    async def scenario() -> None:
        one, other = _Endless(), _Endless()
        assert await first_ended(one.run(), other.run(), timeout_s=0.0) == (None, None)

    asyncio.run(scenario())


def test_a_cancelled_caller_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        one, other = _Endless(), _Endless()
        caller = asyncio.ensure_future(first_ended(one.run(), other.run()))
        while len(asyncio.all_tasks()) < 4:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert (one.was_cancelled, other.was_cancelled) == (True, True)

    asyncio.run(scenario())
