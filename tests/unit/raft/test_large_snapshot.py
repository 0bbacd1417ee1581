"""A manager that joins late gets a state that is too large for one message."""

import asyncio
import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.raft import snapshots
from orchestrator.raft.membership import Membership
from orchestrator.raft.replica import Replica
from orchestrator.raft.stable_node import StableNode
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


def test_a_snapshot_that_is_not_on_the_disk_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_durable, attempts = snapshots.make_durable, 0

    def fails_at_first(path: Path) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise OSError(errno.EIO, "Input/output error")
        made_durable(path)

    hear_answer, acknowledged_at = Replica._hear_answer, set[int]()

    def watched(replica: Replica, node: StableNode, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if message["success"] and str(node.id).startswith("127.0.0.4:"):
            acknowledged_at.add(attempts)
        return hear_answer(replica, node, message)

    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, *_ = await group.three()
            await first.propose([RotateJoinTokens(worker_token="x")])
            first.force_snapshot()
            await first.propose([RotateJoinTokens(manager_token="y")])
            monkeypatch.setattr(snapshots, "make_durable", fails_at_first)
            monkeypatch.setattr(Replica, "_hear_answer", watched)
            fourth = group.start(4, [1, 2, 3])
            await Membership(first).add_manager(fourth.address)
            await caught_up(fourth)
            assert attempts == 3
            assert acknowledged_at <= {3}
            await first.propose([RotateJoinTokens(worker_token="after")])
            await holds(fourth, "after")
            assert encode_state(fourth.state) == encode_state(first.state)

    asyncio.run(scenario())
