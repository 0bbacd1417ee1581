"""What disks that fail or are full do to the stores of managers."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.model.errors import (
    Unavailable,
)
from orchestrator.raft.journal import DurableJournal
from orchestrator.state.actions import RotateJoinTokens
from tests.unit.raft.group import TIMING, Group, holds, token, until


def fill_up(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> Callable[[], None]:
    """Let the disks of these managers be full, whatever their journals have in reserve; returns what makes room."""
    full = {f"127.0.0.{number}" for number in numbers}
    has_room = DurableJournal.has_room

    def refuses(journal: DurableJournal, size: int) -> bool:
        return has_room(journal, size) and not any(f"/{address[-1]}/" in str(journal._path) for address in full)

    monkeypatch.setattr(DurableJournal, "has_room", refuses)
    return full.clear


def test_a_failing_disk_stops_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            monkeypatch.setattr(os, "fdatasync", fails)
            with pytest.raises(Unavailable):
                await store.propose([RotateJoinTokens(worker_token="x")])
            assert isinstance(store.failure, OSError)
            assert not store.is_leader
            assert token(store) == ""

    asyncio.run(scenario())


def test_a_full_disk_refuses_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            make_room = fill_up(monkeypatch, 1)
            with pytest.raises(Unavailable, match="no space left on device"):
                await store.propose([RotateJoinTokens(worker_token="x")])
            assert store.is_leader
            make_room()
            await store.propose([RotateJoinTokens(worker_token="y")])
            assert token(store) == "y"

    asyncio.run(scenario())


def test_full_disks_of_a_majority_refuse_and_recover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            make_room = fill_up(monkeypatch, 2, 3)
            for _ in range(2):
                with pytest.raises(Unavailable, match="no space left on device"):
                    await first.propose([RotateJoinTokens(worker_token="x")])
            term = first.term
            # Followers without room stay followers.
            await asyncio.sleep(3 * TIMING.election_timeout_max)
            assert (first.is_leader, first.term) == (True, term)
            make_room()
            await until(first, lambda: token(first) == "x")
            await first.propose([RotateJoinTokens(worker_token="y")])
            for store in (second, third):
                await holds(store, "y")

    asyncio.run(scenario())


def test_one_full_disk_of_three_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            make_room = fill_up(monkeypatch, 3)
            for number in range(20):
                await first.propose([RotateJoinTokens(worker_token=str(number))])
            await holds(second, "19")
            assert token(third) == ""
            make_room()
            await holds(third, "19")

    asyncio.run(scenario())


def test_a_leader_whose_disk_is_full_makes_way_for_one_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            make_room = fill_up(monkeypatch, 1)
            with pytest.raises(Unavailable, match="no space left on device"):
                await first.propose([RotateJoinTokens(worker_token="x")])
            await until(first, lambda: first.leader_address in (second.address, third.address))
            successor = second if first.leader_address == second.address else third
            await until(successor, lambda: successor.is_leader)
            await successor.propose([RotateJoinTokens(worker_token="y")])
            for store in (second, third):
                await holds(store, "y")
            assert token(first) == ""
            make_room()
            await holds(first, "y")

    asyncio.run(scenario())


@pytest.mark.parametrize("full", [(1, 2, 3), (1, 2)])
def test_a_leader_whose_disk_is_full_stays_where_no_majority_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: tuple[int, ...]
) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, _, _ = await group.three()
            fill_up(monkeypatch, *full)
            # Each follower's word on its disk comes with its next answer.
            await asyncio.sleep(5 * TIMING.heartbeat_period)
            term = first.term
            for _ in range(3):
                with pytest.raises(Unavailable):
                    await first.propose([RotateJoinTokens(worker_token="x")])
                await asyncio.sleep(TIMING.heartbeat_period)
            assert (first.is_leader, first.term) == (True, term)

    asyncio.run(scenario())
