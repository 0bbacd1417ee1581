"""The store of a manager that is alone, on a real event loop."""

import asyncio
import socket
from pathlib import Path

import pytest

from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.errors import (
    FailedPrecondition,
    InvalidArgument,
    NoLeader,
    OutOfSequence,
    Unavailable,
)
from orchestrator.raft.journal import DamagedData
from orchestrator.state.actions import RotateJoinTokens, UpdateClusterSpec
from orchestrator.state.codec import encode_state
from tests.unit.raft.group import FOUND, Group, token, until


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
