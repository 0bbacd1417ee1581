"""The stores of managers in company, on a real event loop."""

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.model.errors import (
    LostLeadership,
    NoLeader,
    Unavailable,
)
from orchestrator.state.actions import RotateJoinTokens
from orchestrator.state.codec import encode_state
from tests.unit.raft.group import TIMING, Group, holds, leader_of, token, until


def test_three_managers_hold_the_same_state(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            await first.propose([RotateJoinTokens(worker_token="shared")])
            for store in (second, third):
                await holds(store, "shared")
                assert encode_state(store.state) == encode_state(first.state)
                assert store.leader_address == first.address
                assert not store.is_leader
            assert first.peers == {"127.0.0.2": True, "127.0.0.3": True}

    asyncio.run(scenario())


def test_a_follower_refuses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            _, second, _ = await group.three()
            with pytest.raises(LostLeadership):
                await second.propose([RotateJoinTokens(worker_token="x")])

    asyncio.run(scenario())


def test_the_others_elect_a_new_leader(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            await first.propose([RotateJoinTokens(worker_token="before")])
            await first.close()
            leader = await leader_of(second, third)
            assert token(leader) == "before"
            await leader.propose([RotateJoinTokens(worker_token="after")])
            again = group.start(1)
            await holds(again, "after")

    asyncio.run(scenario())


def test_without_a_majority_nothing_is_committed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            await second.close()
            await third.close()
            with pytest.raises(Unavailable):
                await first.propose([RotateJoinTokens(worker_token="x")], timeout=5.0)
            await until(first, lambda: not first.is_leader)
            with pytest.raises(Unavailable) as refusal:
                await first.propose([RotateJoinTokens(worker_token="x")])
            assert isinstance(refusal.value, NoLeader)
            assert token(first) == ""

    asyncio.run(scenario())


def test_a_read_anywhere_sees_what_was_acknowledged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            stores = await group.three()
            for number in range(50):
                await stores[0].propose([RotateJoinTokens(worker_token=str(number))])
                await asyncio.gather(*(store.catch_up() for store in stores))
                assert [token(store) for store in stores] == [str(number)] * 3

    asyncio.run(scenario())


def test_reads_write_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, _ = await group.three()
            length = len(first._replica.journal)  # type: ignore[union-attr]
            await asyncio.gather(*(store.catch_up() for store in (first, second) for _ in range(100)))
            assert len(first._replica.journal) == length  # type: ignore[union-attr]

    asyncio.run(scenario())


def test_a_read_without_a_majority_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            await second.close()
            await third.close()
            with pytest.raises(NoLeader):
                await first.catch_up()
            with pytest.raises(NoLeader):
                await second.catch_up()

    asyncio.run(scenario())


def test_a_snapshot_that_fails_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Path] = []

    def full(path: Path, _: object) -> None:
        tries.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            monkeypatch.setattr("orchestrator.raft.snapshots.write_dump", full)
            monkeypatch.setattr("orchestrator.raft.replica.COMPACTION_RETRY_SECONDS", 0.5)
            store._timing = replace(TIMING, compaction_entries=3)
            store._replica.options = replace(store._replica.options, timing=store._timing)  # type: ignore[union-attr]
            for number in range(30):
                await store.propose([RotateJoinTokens(worker_token=str(number))])
            assert len(tries) == 1
            monkeypatch.undo()
            await asyncio.sleep(0.6)
            await store.propose([RotateJoinTokens(worker_token="after")])
            await until(store, lambda: len(store._replica.journal) < 10)  # type: ignore[union-attr]

    asyncio.run(scenario())
