"""Managers are promoted and demoted for a long time, between snapshots, crashes and cut links, from one seed each."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.raft.options import Beginning
from orchestrator.raft.replica import Replica
from orchestrator.testing.simulated_raft import SimulatedManagers
from tests.simulation.raft_watch import Watch, one_leader, quiesce
from tests.simulation.seeds import seeds

Managers = Callable[[int], SimulatedManagers]

NAMES = tuple(f"m{number}:1" for number in range(1, 5))
SEEDS = seeds(8)
STEPS = 30
PATIENCE = 10.0
"""Seconds within which a change of the managers must be committed while all of them live and are connected."""


class Roles:
    """One seed's sequence of promotions and demotions, and of what comes between them."""

    def __init__(self, managers: SimulatedManagers, directory: Path) -> None:
        self.managers = managers
        self.directory = directory
        self.dice = random.Random(managers.seed)
        self.watch = Watch(managers)
        managers.start_group(3, directory)
        self._known_peers: dict[str, tuple[str, ...]] = {}

    @property
    def members(self) -> list[str]:
        return sorted(self.managers.replicas)

    @property
    def leader(self) -> tuple[str, Replica]:
        """The one leader; there must soon be one, for everyone is well when this is asked."""
        assert self.managers.run(PATIENCE, lambda: one_leader(self.managers)), self.story("no leader")
        name = self.managers.leaders[0]
        return name, self.managers.replicas[name]

    def story(self, what: str) -> str:
        known = {name: (replica.term, replica.peer_ids) for name, replica in self.managers.replicas.items()}
        return f"seed {self.managers.seed}: {what}: {known}"

    def run(self) -> None:
        for _ in range(STEPS):
            self.dice.choice(
                (self.promote, self.demote, self.demote_leader, self.compact, self.crash, self.isolate, self.write)
            )()
            self.managers.run(self.dice.uniform(0.0, 1.5))
        _, leader = self.leader
        assert set(leader.peer_ids) == set(self.members) - {leader.own_id}
        self.managers.run(1.0)
        quiesce(self.watch)

    def promote(self) -> None:
        """As a worker that becomes a manager does it: its store starts first, silent, and is added then."""
        workers = sorted(set(NAMES) - set(self.managers.replicas))
        if not workers:
            return
        name = self.dice.choice(workers)
        _, leader = self.leader
        for left in self.directory.glob(f"{name}.*"):
            left.unlink()
        self.managers.start(name, [leader.own_id, *leader.peer_ids], Beginning.JOINING, self.directory)
        self.change(name, wanted=True)
        _, leader = self.leader
        replica = self.managers.replicas[name]
        caught_up = self.managers.run(PATIENCE, lambda: replica.raftLastApplied >= leader.commit_index - 50)
        assert caught_up, self.story(f"{name} does not catch up")

    def demote(self) -> None:
        leader, _ = self.leader
        followers = [name for name in self.members if name != leader]
        if len(followers) > 1:
            self.remove(self.dice.choice(followers))

    def demote_leader(self) -> None:
        name, replica = self.leader
        if len(self.members) < 3:
            return
        deadline = self.managers.now + PATIENCE
        while name in self.managers.leaders:
            assert self.managers.now < deadline, self.story(f"{name} finds no successor")
            replica.transferLeadership()
            self.managers.run(0.05)
        self.remove(name)

    def remove(self, name: str) -> None:
        self.change(name, wanted=False)
        self.managers.kill(name)
        self.watch.forget(name)

    def change(self, name: str, *, wanted: bool) -> None:
        """Ask whoever leads until it is done, as `Membership` does."""
        deadline = self.managers.now + PATIENCE
        committed: list[int] = []
        while not committed:
            assert self.managers.now < deadline, self.story(f"{'adding' if wanted else 'removing'} {name}")
            leader_name, leader = self.leader
            if leader_name == name:
                leader.transferLeadership()
                self.managers.run(0.05)
                continue
            if (name in leader.peer_ids) == wanted and leader.commit_index >= leader.journal[-1][1]:
                return
            ask = leader.addNodeToCluster if wanted else leader.removeNodeFromCluster
            answers: list[int] = []
            ask(name, lambda _, reason, answers=answers: answers.append(reason))
            self.managers.run(2.0, lambda answers=answers: bool(answers))  # type: ignore[misc]
            committed = [reason for reason in answers if reason == 0]

    def compact(self) -> None:
        self.managers.replicas[self.dice.choice(self.members)].forceLogCompaction()

    def crash(self) -> None:
        """Some of them die and are back after a moment, with what they knew of the others."""
        names = self.dice.sample(self.members, self.dice.randint(1, len(self.members)))
        known = {name: self.managers.replicas[name].peer_ids for name in names}
        for name in names:
            self.managers.kill(name)
            self.watch.forget(name)
        self.managers.run(self.dice.uniform(0.0, 1.0))
        for name in names:
            self.managers.start(name, known[name], Beginning.RETURNING, self.directory)

    def isolate(self) -> None:
        self.managers.isolate(self.dice.choice(self.members))
        self.managers.run(self.dice.uniform(0.0, 3.0))
        self.managers.heal()

    def write(self) -> None:
        self.managers.run(self.dice.uniform(1.0, 5.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_roles_change_for_a_long_time(
    managers: Managers, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody pulls the plug here.
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    roles = Roles(managers(seed), tmp_path)
    roles.run()
    assert roles.watch.acknowledged
