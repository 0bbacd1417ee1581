"""Three real replicas on a simulated clock: what consensus promises, over many seeds."""

import logging
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.model.errors import FailedPrecondition
from orchestrator.raft.options import Beginning
from orchestrator.testing.simulated_raft import SimulatedManagers
from tests.simulation.raft_watch import Watch, one_leader, quiesce

SEEDS = range(50)


def isolate_leader(managers: SimulatedManagers) -> str:
    """Cut the leader off and wait until another one is elected; returns the name of the first."""
    leader = managers.leaders[0]
    managers.isolate(leader)
    assert managers.run(5.0, lambda: any(name != leader for name in managers.leaders))
    return leader


def history(managers: SimulatedManagers) -> Watch:
    """Leaders are cut off and come back, some while proposals are under way."""
    dice = random.Random(managers.seed)
    watch = Watch(managers)
    managers.start_group()
    assert managers.run(5.0, lambda: one_leader(managers))
    for _ in range(2):
        managers.run(dice.uniform(0.2, 1.0))
        isolate_leader(managers)
        managers.run(dice.uniform(0.0, 1.5))
        managers.heal()
        assert managers.run(5.0, lambda: one_leader(managers))
    quiesce(watch)
    return watch


@pytest.mark.parametrize("seed", SEEDS)
def test_acknowledged_changes_survive_isolated_leaders(
    managers: Callable[[int], SimulatedManagers], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    watch = history(managers(seed))
    assert len(watch.acknowledged) > 10
    assert watch.refused
    assert all(isinstance(error, FailedPrecondition) for error in watch.refused)
    # PySyncObj says so when it deletes log entries that are applied; see `log_matching`.
    assert not [record for record in caplog.records if record.levelno >= logging.CRITICAL]


def test_a_seed_gives_the_same_history() -> None:
    logs = []
    for _ in range(2):
        simulation = SimulatedManagers(seed=4)
        with simulation.running():
            history(simulation)
        logs.append(simulation.log)
    assert len(logs[0]) > 100
    assert logs[0] == logs[1]


def test_an_isolated_leader_steps_down_soon(managers: Callable[[int], SimulatedManagers]) -> None:
    group = managers(1)
    group.start_group()
    group.run(5.0, lambda: one_leader(group))
    leader = isolate_leader(group)
    assert group.run(1.5, lambda: leader not in group.leaders)


def test_a_leader_that_lives_is_never_deposed(managers: Callable[[int], SimulatedManagers]) -> None:
    group = managers(2)
    watch = Watch(group)
    watch.stop_proposing()
    group.start_group()
    group.run(60.0)
    assert len(watch.leader_of_term) == 1


@pytest.mark.parametrize("seed", range(10))
def test_acknowledged_changes_survive_a_crash_of_all(
    managers: Callable[[int], SimulatedManagers], seed: int, tmp_path: Path
) -> None:
    group = managers(seed)
    watch = Watch(group)
    names = group.start_group(directory=tmp_path)
    group.run(5.0, lambda: one_leader(group))
    group.run(1.0)
    for name in names:
        group.kill(name)
    watch.index_of.clear()
    group.start_group(directory=tmp_path)
    assert group.run(5.0, lambda: one_leader(group))
    group.run(0.5)
    quiesce(watch)
    assert len(watch.acknowledged) > 5


def test_a_manager_that_lost_all_gets_a_snapshot(managers: Callable[[int], SimulatedManagers], tmp_path: Path) -> None:
    group = managers(3)
    watch = Watch(group)
    names = group.start_group(directory=tmp_path)
    group.run(5.0, lambda: one_leader(group))
    group.run(1.0)
    follower = next(name for name in names if name not in group.leaders)
    group.kill(follower)
    group.replicas[group.leaders[0]].forceLogCompaction()
    group.run(1.0)
    new = tmp_path / "new"
    new.mkdir()
    group.start(follower, [name for name in names if name != follower], Beginning.JOINING, new)
    quiesce(watch)
    assert (new / f"{follower}.dump").exists()


def test_a_snapshot_is_done_with_in_the_tick_that_writes_it(
    managers: Callable[[int], SimulatedManagers], tmp_path: Path
) -> None:
    """Or the next tick sends to a manager that needs it empty messages, without end while the clock stands still."""
    group = managers(1)
    watch = Watch(group)
    (name,) = group.start_group(1, tmp_path)
    assert group.run(5.0, lambda: len(watch.acknowledged) > 5)
    leader = group.replicas[name]
    leader.forceLogCompaction()
    leader.doTick()
    assert (tmp_path / f"{name}.dump").exists()
    assert leader.journal[0][1] > 1


def test_a_joining_manager_waits_and_disturbs_nobody(managers: Callable[[int], SimulatedManagers]) -> None:
    group = managers(5)
    watch = Watch(group)
    founder = group.start("m1:1", [], Beginning.ALONE)
    assert group.run(0.1, lambda: founder.leads)
    joining = group.start("m2:1", ["m1:1"], Beginning.JOINING)
    group.run(10.0)
    assert joining.term == 0
    founder.addNodeToCluster("m2:1", lambda *_: None)
    assert group.run(1.0, lambda: joining.state.index > 0)
    quiesce(watch)
    assert list(watch.leader_of_term.values()) == ["m1:1"]


def test_a_removed_manager_that_lives_disturbs_nobody(managers: Callable[[int], SimulatedManagers]) -> None:
    group = managers(6)
    watch = Watch(group)
    names = group.start_group()
    group.run(5.0, lambda: one_leader(group))
    leader = group.leaders[0]
    removed = next(name for name in names if name != leader)
    # Until the first entry of its term is committed, a leader refuses changes of the managers.
    group.run(0.5)
    group.replicas[leader].removeNodeFromCluster(removed, lambda *_: None)
    assert group.run(1.0, lambda: removed not in group.replicas[leader].peer_ids)
    group.run(10.0)
    assert list(watch.leader_of_term.values()) == [leader]
