"""Who leads after what: a healthy leader stays, a dead one is replaced soon, one that leaves hands over."""

from collections.abc import Callable

import pytest

from orchestrator.raft.replica import BARRIER
from orchestrator.testing.simulated_raft import SimulatedManagers
from tests.simulation.raft_watch import Watch, one_leader

Managers = Callable[[int], SimulatedManagers]

FAILOVER_SECONDS_MAX = 0.7
"""Of simulated time: no election timeout is waited for, unless two stand at the same moment."""


def started(managers: SimulatedManagers, size: int = 3) -> tuple[str, list[str]]:
    """A group with a leader whose first entry is committed; returns the leader and the others."""
    names = managers.start_group(size)
    assert managers.run(5.0, lambda: one_leader(managers))
    managers.run(1.0)
    leader = managers.leaders[0]
    return leader, [name for name in names if name != leader]


def stays(managers: SimulatedManagers, leader: str, seconds: float = 10.0) -> None:
    """Let time pass, in which nobody else may lead and no term begin."""
    term = managers.replicas[leader].term
    assert not managers.run(seconds, lambda: managers.leaders != [leader])
    assert managers.replicas[leader].term == term


@pytest.mark.parametrize("seed", range(10))
def test_a_manager_that_was_cut_off_deposes_nobody(managers: Managers, seed: int) -> None:
    group = managers(seed)
    leader, followers = started(group)
    group.isolate(followers[0])
    stays(group, leader)
    group.heal()
    stays(group, leader)


@pytest.mark.parametrize("seed", range(10))
def test_a_manager_that_hears_nothing_deposes_nobody(managers: Managers, seed: int) -> None:
    group = managers(seed)
    leader, followers = started(group)
    group.block(leader, followers[0])
    stays(group, leader)
    group.heal()
    stays(group, leader)


@pytest.mark.parametrize("seed", range(10))
def test_a_broken_connection_deposes_nobody(managers: Managers, seed: int) -> None:
    group = managers(seed)
    leader, followers = started(group)
    for _ in range(5):
        group.sever(leader, followers[0])
        stays(group, leader, 1.0)
        group.heal()
        stays(group, leader, 1.0)


@pytest.mark.parametrize("seed", range(10))
def test_what_was_proposed_to_a_deposed_leader_is_not_passed_on(managers: Managers, seed: int) -> None:
    group = managers(seed)
    leader, _ = started(group)
    group.pause(leader)
    assert group.run(5.0, lambda: any(name != leader for name in group.leaders))
    group.resume(leader)
    assert group.run(5.0, lambda: group.leaders != [leader] and one_leader(group))
    group.run(1.0)
    deposed = group.replicas[leader]
    before = [replica.last_entry for replica in group.replicas.values()]
    deposed.apply_batch(BARRIER)
    deposed.removeNodeFromCluster(group.replicas[group.leaders[0]].selfNode)
    group.run(2.0)
    assert [replica.last_entry for replica in group.replicas.values()] == before


@pytest.mark.parametrize("seed", range(10))
def test_a_leader_nobody_answers_is_replaced(managers: Managers, seed: int) -> None:
    group = managers(seed)
    leader, followers = started(group)
    for follower in followers:
        group.block(follower, leader)
    assert group.run(4.0, lambda: any(name != leader for name in group.leaders))


@pytest.mark.parametrize("seed", range(50))
def test_a_dead_leader_is_replaced_soon(managers: Managers, seed: int) -> None:
    group = managers(seed)
    leader, _ = started(group, 3 if seed % 2 else 5)
    group.kill(leader)
    died_at = group.now
    assert group.run(FAILOVER_SECONDS_MAX, lambda: one_leader(group)), f"seed {seed}"
    assert group.now - died_at <= FAILOVER_SECONDS_MAX


@pytest.mark.parametrize("seed", range(10))
def test_a_leader_hands_over_at_once(managers: Managers, seed: int) -> None:
    group = managers(seed)
    leader, followers = started(group)
    group.replicas[leader].transferLeadership()
    assert group.run(0.3, lambda: len(group.leaders) == 1 and group.leaders[0] in followers)


def test_a_manager_ahead_of_the_others_terms_is_not_shut_out(managers: Managers) -> None:
    """Its majority had promised, and then it was cut off: the others' leader has to follow it into its term."""
    group = managers(3)
    watch = Watch(group)
    leader, followers = started(group)
    group.isolate(followers[0])
    group.replicas[followers[0]].follow(group.replicas[leader].term + 5)
    group.heal()
    assert group.run(5.0, lambda: one_leader(group) and len({each.term for each in group.replicas.values()}) == 1)
    group.run(1.0)
    watch.stop_proposing()
    assert group.run(5.0, watch.survived)


def test_reads_are_refused_by_who_is_cut_off(managers: Managers) -> None:
    group = managers(4)
    leader, followers = started(group)
    answers: dict[str, list[int | None]] = {name: [] for name in (leader, *followers)}
    group.isolate(leader)
    for name in answers:
        group.replicas[name].reads.ask(answers[name].append)
    group.run(3.0)
    assert answers[leader] == [None]
    for name in followers:
        group.replicas[name].reads.ask(answers[name].append)
    assert group.run(1.0, lambda: all(answers[name][-1:] not in ([], [None]) for name in followers))
