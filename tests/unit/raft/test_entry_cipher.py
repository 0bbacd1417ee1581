"""The log on a manager's disk tells nothing without the managers' key."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.manager import secret_vault
from orchestrator.model.cluster import Cluster
from orchestrator.raft.entry_cipher import EntryCipher
from orchestrator.raft.node import RaftStore
from orchestrator.state.actions import CreateCluster
from tests.unit.raft.group import TIMING, free_port, peer_tls, until

KEY = secret_vault.new_key()


def test_another_key_opens_nothing() -> None:
    sealed = EntryCipher(KEY).seal(b"batch")
    assert EntryCipher(KEY).open(sealed) == b"batch"
    with pytest.raises(ValueError, match="cannot be read with its key"):
        EntryCipher(secret_vault.new_key()).open(sealed)


def test_neither_journal_nor_snapshot_holds_the_state_in_clear(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        store = RaftStore("127.0.0.1", tmp_path, peer_tls(1), port=port, timing=TIMING, log_key=KEY)
        store.start()
        await until(store, lambda: store.is_leader)
        await store.propose((CreateCluster(Cluster("c", worker_token="SWMTKN-in-the-log")),))
        store.force_snapshot()
        async with asyncio.timeout(5):
            while not (tmp_path / "dump").exists():
                await asyncio.sleep(0.01)
        await store.close()
        again = RaftStore("127.0.0.1", tmp_path, peer_tls(1), port=port, timing=TIMING, log_key=KEY)
        again.start()
        await until(again, lambda: again.is_leader)
        assert again.state.cluster is not None
        assert again.state.cluster.worker_token == "SWMTKN-in-the-log"
        await again.close()

    asyncio.run(scenario())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert b"SWMTKN" not in path.read_bytes(), path
