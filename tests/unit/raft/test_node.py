"""The store on a real event loop, alone and in company."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import (
    FailedPrecondition,
    InvalidArgument,
    LostLeadership,
    NoLeader,
    OutOfSequence,
    Unavailable,
)
from orchestrator.raft.journal import DamagedData, DurableJournal
from orchestrator.state.actions import RotateJoinTokens, UpdateClusterSpec
from orchestrator.state.codec import encode_state
from tests.unit.raft.group import FOUND, TIMING, Group, holds, leader_of, token, until

# PySyncObj leaves files it has read to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

# Alone -----------------------------------------------------------------------------------------------------


def test_a_sole_manager_leads_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = group.start(1)
            await until(store, lambda: store.is_leader, timeout=0.3)
            assert store.leader_address == "127.0.0.1"
            assert store.leader_since is not None
            assert store.peers == {}

    asyncio.run(scenario())


def test_a_proposal_is_applied_when_propose_returns(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            await asyncio.gather(*(store.propose([RotateJoinTokens(worker_token=str(n))]) for n in range(50)))
            assert token(store) == "49"
            assert store.state.index == 51

    asyncio.run(scenario())


def test_a_refusal_reaches_the_proposer_as_it_was_raised(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            with pytest.raises(FailedPrecondition, match=r"^the cluster exists already$"):
                await store.propose([FOUND])
            with pytest.raises(OutOfSequence, match=r"^update out of sequence$"):
                await store.propose([RotateJoinTokens(worker_token="x"), UpdateClusterSpec(99, ClusterSpec())])
            assert token(store) == ""
            await store.propose([RotateJoinTokens(worker_token="y")])
            assert token(store) == "y"

    asyncio.run(scenario())


def test_a_huge_batch_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            with pytest.raises(InvalidArgument, match="too large"):
                await store.propose([RotateJoinTokens(worker_token="x" * 5_000_000)])

    asyncio.run(scenario())


def test_subscribers_are_called_once_for_many_batches(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            await asyncio.sleep(0)
            calls: list[int] = []
            end = store.subscribe(lambda: calls.append(store.state.index))
            await asyncio.gather(*(store.propose([RotateJoinTokens(worker_token=str(n))]) for n in range(20)))
            await asyncio.sleep(0)
            assert calls[-1] == store.state.index
            assert len(calls) <= 3
            end()
            seen = len(calls)
            await store.propose([RotateJoinTokens(worker_token="z")])
            await asyncio.sleep(0)
            assert len(calls) == seen

    asyncio.run(scenario())


def test_subscribers_are_not_called_for_a_batch_that_was_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            await store.propose([RotateJoinTokens(worker_token="x")])
            await asyncio.sleep(0)
            calls: list[int] = []
            store.subscribe(lambda: calls.append(store.state.index))
            with pytest.raises(FailedPrecondition):
                await store.propose([FOUND])
            await asyncio.sleep(0)
            assert not calls

    asyncio.run(scenario())


def test_state_survives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            await store.propose([RotateJoinTokens(worker_token="kept")])
            before = encode_state(store.state)
            await store.close()
            assert encode_state(store.state) == before
            again = group.start(1)
            await until(again, lambda: again.is_leader, timeout=1.0)
            assert encode_state(again.state) == before

    asyncio.run(scenario())


def test_state_survives_in_a_snapshot(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            await store.propose([RotateJoinTokens(worker_token="kept")])
            store.force_snapshot()
            await store.propose([RotateJoinTokens(manager_token="later")])
            before = encode_state(store.state)
            assert (tmp_path / "1" / "dump").exists()
            await store.close()
            again = group.start(1)
            await until(again, lambda: again.is_leader, timeout=1.0)
            assert encode_state(again.state) == before

    asyncio.run(scenario())


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            waiting = asyncio.create_task(store.propose([RotateJoinTokens(worker_token="x")]))
            await asyncio.sleep(0)
            await store.close()
            await store.close()
            assert store.leader_address is None
            with pytest.raises(Unavailable, match="node lost leader status"):
                await waiting
            with pytest.raises(Unavailable) as refusal:
                await store.propose([FOUND])
            assert isinstance(refusal.value, NoLeader)

    asyncio.run(scenario())


def test_a_damaged_journal_stops_the_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            await store.close()
            journal = tmp_path / "1" / "journal"
            data = bytearray(journal.read_bytes())
            data[4100] ^= 0xFF
            journal.write_bytes(data)
            with pytest.raises(DamagedData, match="is damaged"):
                group.start(1)

    asyncio.run(scenario())


def test_a_taken_address_stops_the_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            with socket.create_server(("127.0.0.1", group.port)), pytest.raises(OSError, match="cannot listen on"):
                group.start(1)

    asyncio.run(scenario())


def test_a_missing_journal_stops_the_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            await store.close()
            (tmp_path / "1" / "journal").unlink()
            with pytest.raises(DamagedData, match="is missing"):
                group.start(1)

    asyncio.run(scenario())


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


def fill_up(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> Callable[[], None]:
    """Let the disks of these managers be full, whatever their journals have in reserve; returns what makes room."""
    full = {f"127.0.0.{number}" for number in numbers}
    has_room = DurableJournal.has_room

    def refuses(journal: DurableJournal, size: int) -> bool:
        return has_room(journal, size) and not any(f"/{address[-1]}/" in str(journal._path) for address in full)

    monkeypatch.setattr(DurableJournal, "has_room", refuses)
    return full.clear


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


# In company ------------------------------------------------------------------------------------------------


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
