"""A manager that joins late gets a state that is too large for one message."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.raft.membership import Membership
from orchestrator.state.actions import RotateJoinTokens
from orchestrator.state.codec import encode_state
from tests.unit.raft.group import Group, caught_up, holds, token


@pytest.mark.parametrize("size", [1_000, 65_000, 66_000, 140_000, 1_000_000])
def test_a_manager_joins_by_a_snapshot_of_any_size(tmp_path: Path, size: int) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            await first.propose([RotateJoinTokens(worker_token="x" * size)])
            first.force_snapshot()
            await first.propose([RotateJoinTokens(manager_token="y")])
            fourth = group.start(4, [1, 2, 3])
            await Membership(first).add_manager(fourth.address)
            await caught_up(fourth)
            await first.propose([RotateJoinTokens(worker_token="after")])
            await holds(fourth, "after")
            assert token(fourth) == "after"
            assert encode_state(fourth.state) == encode_state(first.state)
            await holds(third, "after")
            await holds(second, "after")

    asyncio.run(scenario())
