"""Verdicts on other nodes reach the data plane."""

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.agent import failure_follower
from orchestrator.agent.failure_follower import FailureFollower
from orchestrator.model.gossip import GossipConfiguration
from orchestrator.testing.fake_data_plane import FakeDataPlane

DEADLINE_S = 5.0


class Verdicts:
    """A `FailureDetector` whose verdicts the test gives."""

    def __init__(self) -> None:
        self.dead: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    def hold_dead(self, *node_ids: str) -> None:
        self.dead = frozenset(node_ids)
        self._changed.set()

    def follow(self, configuration: GossipConfiguration) -> None:
        raise NotImplementedError

    async def wait_changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def run(self) -> None:
        raise NotImplementedError


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.001)


def following(
    verdicts: Verdicts, data_plane: FakeDataPlane, held_dead: Callable[[frozenset[str]], None] = lambda _: None
) -> asyncio.Task[None]:
    return asyncio.create_task(FailureFollower(verdicts, data_plane, held_dead=held_dead).run())


def test_each_verdict_is_carried_out_and_taken_back() -> None:
    async def scenario() -> None:
        verdicts, data_plane = Verdicts(), FakeDataPlane()
        told: list[frozenset[str]] = []
        running = following(verdicts, data_plane, told.append)
        for node_ids in (("n1",), ("n1", "n2"), ()):
            verdicts.hold_dead(*node_ids)
            await until(lambda wanted=frozenset(node_ids): data_plane.avoided == wanted)  # type: ignore[misc]
            assert told[-1] == frozenset(node_ids)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())


def test_what_an_earlier_session_left_out_is_taken_back_at_the_start() -> None:
    async def scenario() -> None:
        data_plane = FakeDataPlane()
        data_plane.avoided = frozenset({"n1"})
        running = following(Verdicts(), data_plane)
        await until(lambda: not data_plane.avoided)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())


def test_a_kernel_that_refuses_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        verdicts, data_plane = Verdicts(), FakeDataPlane()
        data_plane.refusals = 2
        verdicts.hold_dead("n1")
        running = following(verdicts, data_plane)
        await until(lambda: data_plane.avoided == {"n1"})
        assert data_plane.refusals == 0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    monkeypatch.setattr(failure_follower, "RETRY_INTERVAL_S", 0.01)
    asyncio.run(scenario())
