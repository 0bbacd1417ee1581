"""One manager of three goes on alone with all it has."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.raft.recovery import TERM_LEAP, stand_alone
from orchestrator.state.actions import RotateJoinTokens
from orchestrator.state.codec import encode_state
from tests.unit.raft.group import Group, holds, token, until


@pytest.mark.parametrize("compacted", [False, True], ids=["log", "snapshot"])
def test_a_follower_goes_on_alone_with_the_whole_state(tmp_path: Path, compacted: bool) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            await first.propose([RotateJoinTokens(worker_token="early")])
            if compacted:
                await holds(second, "early")
                second.force_snapshot()
            await first.propose([RotateJoinTokens(worker_token="kept")])
            await holds(second, "kept")
            term = second.term
            for store in (first, third, second):
                await store.close()
            before = encode_state(second.state)
            stand_alone(tmp_path / "2")
            alone = group.start(2)
            await until(alone, lambda: alone.is_leader)
            assert encode_state(alone.state) == before
            assert alone.peers == {}
            assert alone.term > term + TERM_LEAP
            await alone.propose([RotateJoinTokens(worker_token="after")])
            # The abandoned ones come back and talk among themselves.
            old = group.start(1), group.start(3)
            await asyncio.sleep(1.0)
            assert alone.is_leader
            assert alone.peers == {}
            assert {token(store) for store in old} <= {"", "early", "kept"}

    asyncio.run(scenario())
