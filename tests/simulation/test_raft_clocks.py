"""The cluster's time goes on evenly while machines' clocks are set and leaders change."""

from collections.abc import Callable

import pytest

from orchestrator.raft.options import Beginning
from orchestrator.testing.simulated_raft import SimulatedManagers
from tests.simulation.raft_watch import one_leader
from tests.simulation.test_raft_elections import started

HOUR = 3600.0
WRONG_BY = 1.0
"""Seconds: what a message takes, and a twentieth of the time a test lasts."""

Managers = Callable[[int], SimulatedManagers]


def off(group: SimulatedManagers, name: str) -> float:
    """By how much the manager's time is not the true one."""
    return abs(group.replicas[name].options.clock.now() - group.now)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_leader_whose_clock_is_set_goes_on_and_so_does_its_successor(managers: Managers, step: float) -> None:
    group = managers(1)
    leader, others = started(group)
    group.skews[leader] = step
    group.run(5.0)
    assert max(off(group, name) for name in group.replicas) < WRONG_BY
    group.kill(leader)
    assert group.run(5.0, lambda: one_leader(group))
    assert off(group, group.leaders[0]) < WRONG_BY
    group.run(5.0)
    assert max(off(group, name) for name in others) < WRONG_BY


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_successor_whose_clock_is_wrong_goes_on_with_the_leaders_time(managers: Managers, step: float) -> None:
    group = managers(2)
    leader, others = started(group)
    for name in others:
        group.skews[name] = step
        # It starts by its own clock, and hears from the leader.
        group.kill(name)
        group.start(name, [other for other in (leader, *others) if other != name], Beginning.RETURNING)
        assert off(group, name) == HOUR
        group.run(2.0)
    group.kill(leader)
    assert group.run(5.0, lambda: one_leader(group))
    assert off(group, group.leaders[0]) < WRONG_BY
