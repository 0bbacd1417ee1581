"""Managers come and go one at a time."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.model.errors import FailedPrecondition, Unavailable
from orchestrator.raft.membership import Membership
from orchestrator.raft.outbox import Outbox
from orchestrator.raft.snapshots import read_members
from orchestrator.state.actions import RotateJoinTokens
from tests.unit.raft.group import TIMING, Group, caught_up, holds, leader_of, token, until


def test_a_manager_that_cannot_be_reached_is_not_added(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            with pytest.raises(Unavailable, match=r"^could not connect to the prospective manager at 127\.0\.0\.9:"):
                await Membership(store).add_manager("127.0.0.9")
            assert store.peers == {}
            await store.propose([RotateJoinTokens(worker_token="x")])

    asyncio.run(scenario())


def test_adding_twice_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            await Membership(first).add_manager(second.address)
            await Membership(first).add_manager(first.address)
            assert sorted(first.peers) == [second.address, third.address]

    asyncio.run(scenario())


def test_two_managers_may_ask_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first = await group.founded()
            second, third = group.start(2, [1]), group.start(3, [1])
            membership = Membership(first)
            await asyncio.gather(membership.add_manager(second.address), membership.add_manager(third.address))
            await caught_up(second)
            await caught_up(third)
            assert sorted(third.peers) == [first.address, second.address]

    asyncio.run(scenario())


def test_a_dead_manager_is_removed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            await third.close()
            await Membership(first).remove_manager(third.address)
            await Membership(first).remove_manager(third.address)
            assert list(first.peers) == [second.address]
            await until(second, lambda: list(second.peers) == [first.address])

    asyncio.run(scenario())


def test_who_is_connected_and_does_not_answer_makes_no_majority(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            assert second._replica is not None
            second._replica.transport.setOnMessageReceivedCallback(lambda *_: None)
            async with asyncio.timeout(5.0):
                while first.answering_peers != (third.address,):
                    await asyncio.sleep(TIMING.tick_period)
            assert first.peers[second.address]
            assert first.status is not None
            assert [(peer.connected, peer.answered) for peer in first.status.peers] == [(True, False), (True, True)]
            with pytest.raises(FailedPrecondition, match="loss of quorum"):
                await Membership(first).remove_manager(third.address)
            assert sorted(first.peers) == [second.address, third.address]

    asyncio.run(scenario())


def test_a_follower_adds_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            _, second, _ = await group.three()
            group.start(4, [1, 2, 3])
            with pytest.raises(Unavailable):
                await Membership(second).add_manager("127.0.0.4")

    asyncio.run(scenario())


def test_leadership_is_handed_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            await first.propose([RotateJoinTokens(worker_token="before")])
            await Membership(first).transfer_leadership(timeout=5.0)
            leader = await leader_of(second, third)
            assert token(leader) == "before"
            await leader.propose([RotateJoinTokens(worker_token="after")])
            await holds(first, "after")

    asyncio.run(scenario())


def test_a_leader_that_shall_go_hands_over_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, second, third = await group.three()
            with pytest.raises(Unavailable, match="its successor can remove it"):
                await Membership(first).remove_manager(first.address)
            leader = await leader_of(second, third)
            await Membership(leader).remove_manager(first.address)
            assert first.address not in leader.peers

    asyncio.run(scenario())


def test_the_last_manager_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            store = await group.founded()
            with pytest.raises(FailedPrecondition, match="last manager"):
                await Membership(store).remove_manager(store.address)

    asyncio.run(scenario())


def test_nobody_hears_of_new_managers_before_their_list_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has answered for them and is killed must not wake among the old ones."""
    release = Outbox.release
    lists: list[tuple[tuple[str, ...], tuple[str, ...] | None]] = []

    def look_and_release(outbox: Outbox) -> None:
        replica = outbox._transport._syncObj
        path = tmp_path / replica.own_id.partition(":")[0].rpartition(".")[2] / "members.json"
        lists.append((replica.peer_ids, read_members(path)))
        release(outbox)

    monkeypatch.setattr(Outbox, "release", look_and_release)

    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first, _, third = await group.three()
            await Membership(first).remove_manager(third.address)

    asyncio.run(scenario())
    assert {len(peers) for peers, _ in lists} == {0, 1, 2}
    assert [(peers, kept) for peers, kept in lists if peers != kept] == []


@pytest.mark.parametrize("newcomer", [2, 9])
def test_a_manager_that_was_away_follows_a_leader_it_has_never_heard_of(tmp_path: Path, newcomer: int) -> None:
    async def scenario() -> None:
        async with Group(tmp_path) as group:
            first = await group.founded()
            second, away = group.start(4, [1]), group.start(5, [1, 4])
            for store in (second, away):
                await Membership(first).add_manager(store.address)
                await caught_up(store)
            await away.close()
            new = group.start(newcomer, [1, 4])
            await Membership(first).add_manager(new.address)
            await caught_up(new)
            while not new.is_leader:
                leader = await leader_of(first, second, new)
                if leader is not new:
                    await Membership(leader).transfer_leadership()
            await new.propose([RotateJoinTokens(worker_token="later")])
            back = group.start(5)
            await holds(back, "later")
            assert sorted(back.peers) == sorted([first.address, second.address, new.address])

    asyncio.run(scenario())
