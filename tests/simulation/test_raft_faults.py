"""Managers are cut off, half deaf, slow, killed and robbed of what they had not synced, from one seed each."""

import logging
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.raft.options import Beginning
from orchestrator.testing.simulated_raft import SimulatedManagers, Weather
from tests.simulation.raft_watch import Watch, one_leader, quiesce
from tests.simulation.seeds import seeds

SEEDS = seeds(25)
STEPS = 14
CALM = Weather()
BAD = Weather(loss=0.05, duplication=0.05, delay=0.05)
READ_PERIOD = 0.05

Managers = Callable[[int], SimulatedManagers]


class Chaos:
    """One seed's sequence of faults."""

    def __init__(self, managers: SimulatedManagers, size: int, directory: Path | None = None) -> None:
        """With a directory logs and snapshots are in real files, and whoever dies loses nothing."""
        self.managers = managers
        self.directory = directory
        self.dice = random.Random(managers.seed)
        self.watch = Watch(managers)
        self.names = managers.start_group(size, directory)
        self._read_at = 0.0
        self._doomed: dict[str, None] = {}
        managers.after_step = self.after_step

    def after_step(self) -> None:
        """Check, read, and kill those that are to die at the worst moment: with something not synced."""
        managers = self.managers
        self.watch.check()
        for name in [name for name in self._doomed if name in managers.replicas and self.is_at_risk(name)]:
            del self._doomed[name]
            self.kill(name)
        if managers.now >= self._read_at and managers.replicas:
            self._read_at = managers.now + READ_PERIOD
            self.watch.read(self.dice.choice(sorted(managers.replicas)))

    def is_at_risk(self, name: str) -> bool:
        """Whether a crash of the manager would lose something; where it never does, any moment is as good."""
        return self.directory is not None or self.managers.journals[name].is_at_risk

    def run(self) -> None:
        """Fault after fault; then everything works again, and nothing may be missing."""
        for _ in range(STEPS):
            self.dice.choice(
                (
                    self.isolate,
                    self.sever,
                    self.deafen,
                    self.crash,
                    self.doom,
                    self.doom,
                    self.revive,
                    self.hand_over,
                    self.compact,
                    self.spoil,
                    self.heal,
                )
            )()
            self.let_time_pass(self.dice.uniform(0.0, 1.5))
        self._doomed.clear()
        self.heal()
        self.managers.weather = CALM
        self.revive()
        assert self.managers.run(10.0, lambda: one_leader(self.managers)), f"seed {self.managers.seed}: no leader"
        self.managers.run(1.0)
        quiesce(self.watch)

    def let_time_pass(self, seconds: float) -> None:
        end = self.managers.now + seconds
        while self.managers.now < end:
            if not self.managers.run(end - self.managers.now, lambda: not self.managers.replicas):
                return
            self.revive()

    def isolate(self) -> None:
        self.managers.isolate(self.dice.choice(self.names))

    def sever(self) -> None:
        self.managers.sever(*self.dice.sample(self.names, 2))

    def deafen(self) -> None:
        self.managers.block(*self.dice.sample(self.names, 2))

    def spoil(self) -> None:
        self.managers.weather = self.dice.choice((CALM, BAD))

    def heal(self) -> None:
        self.managers.heal()

    def kill(self, name: str) -> None:
        self.managers.kill(name)
        self.watch.forget(name)

    def crash(self) -> None:
        """A manager, or now and then all of them at once, dies and is back after a moment."""
        self.revive()
        for name in self.names if self.dice.random() < 0.2 else (self.dice.choice(self.names),):
            self.kill(name)
        self.managers.now += self.dice.uniform(0.0, 0.3)
        self.revive()

    def doom(self) -> None:
        """Managers die soon, each while it writes."""
        self._doomed = dict.fromkeys(self.dice.sample(self.names, self.dice.randint(1, len(self.names))))

    def revive(self) -> None:
        for name in self.names:
            if name not in self.managers.replicas:
                others = [other for other in self.names if other != name]
                self.managers.start(name, others, Beginning.RETURNING, self.directory)

    def compact(self) -> None:
        if self.directory is not None:
            self.managers.replicas[self.dice.choice(sorted(self.managers.replicas))].forceLogCompaction()

    def hand_over(self) -> None:
        for name in self.managers.leaders:
            self.managers.replicas[name].transferLeadership()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_acknowledged_survives_all_faults(
    managers: Managers, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chaos = Chaos(managers(seed), 5 if seed % 3 == 0 else 3)
    chaos.run()
    assert chaos.watch.acknowledged
    assert chaos.watch.reads_answered
    # PySyncObj says so when it deletes log entries that are applied.
    assert not [record for record in caplog.records if record.levelno >= logging.CRITICAL]


@pytest.mark.parametrize("seed", seeds(10))
def test_snapshots_lose_nothing_either(
    managers: Managers, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Nobody pulls the plug here.
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    chaos = Chaos(managers(seed), 3, tmp_path)
    chaos.run()
    assert chaos.watch.acknowledged
    assert not [record for record in caplog.records if record.levelno >= logging.CRITICAL]
