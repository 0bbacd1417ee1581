"""What clients are told, over many seeds of faults, is what one copy of each object would have told them.

`SIMULATION_TIMES` asks for more seeds, `CONSISTENCY_SEED` for one again.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.raft.timing import RaftTiming
from orchestrator.state.actions import CreateConfig, UpdateConfigLabels
from orchestrator.state.apply import HANDLERS
from orchestrator.state.apply_files import update_config_labels
from orchestrator.state.change import Change
from orchestrator.testing.simulated_raft import SimulatedJournal
from tests.consistency.checker import Verdict
from tests.consistency.history import Outcome, tally
from tests.consistency.nemesis import FAULTS, HASTE, Pace, Part, plan
from tests.consistency.simulated_run import SimulatedRun
from tests.simulation.seeds import seeds

SEEDS = seeds(100)
SNAPSHOT_SEEDS = seeds(10)
SECONDS = 6.0
SHORT_LOGS = RaftTiming(compaction_entries=3)
LEAVING_ONE_BEHIND = [
    fault for fault in FAULTS if fault.name in ("kill leader", "kill follower", "isolate leader", "isolate follower")
]
LONG_ENOUGH = Pace(lasts=(2.5, 4.0), pause=(0.5, 1.0))
"""For the connection with who was cut off to be closed: else what was sent meanwhile arrives after all."""


def trouble_in(seed: int) -> str:
    """What is wrong with the run of that seed; empty when nothing is. Runs in any process."""
    return trouble_of(SimulatedRun(seed, seconds=SECONDS, pace=HASTE))


def snapshots_and_trouble_in(seed: int) -> tuple[int, str]:
    """The same where logs are short, and how often a manager was sent a snapshot."""
    with TemporaryDirectory() as directory:
        run = SimulatedRun(
            seed,
            seconds=2 * SECONDS,
            faults=LEAVING_ONE_BEHIND,
            pace=LONG_ENOUGH,
            timing=SHORT_LOGS,
            directory=Path(directory),
        )
        trouble = trouble_of(run)
    return run.managers.snapshots, trouble


def trouble_of(run: SimulatedRun) -> str:
    findings = [str(finding) for finding in run.run()]
    findings += run.differences
    findings += [f"two leaders in term {term}: {names}" for term, names in run.two_leaders.items()]
    counts = tally(run.history)
    if counts[Outcome.OK] < 50 or not run.faults:
        findings.append(f"nothing much happened: {counts}")
    return "\n".join([f"seed {run.seed}:", *run.faults, *findings]) if findings else ""


def test_histories_are_linearizable() -> None:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = [trouble for trouble in pool.map(trouble_in, SEEDS) if trouble]
    assert not found, f"{len(found)} of {len(SEEDS)} runs, the first:\n{found[0]}"


def test_histories_with_snapshots_are_linearizable() -> None:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        runs = list(pool.map(snapshots_and_trouble_in, SNAPSHOT_SEEDS))
    found = [trouble for _, trouble in runs if trouble]
    assert not found, f"{len(found)} of {len(SNAPSHOT_SEEDS)} runs, the first:\n{found[0]}"
    assert sum(sent for sent, _ in runs) >= len(runs)


@pytest.mark.skipif("CONSISTENCY_SEED" not in os.environ, reason="repeats the run of CONSISTENCY_SEED")
def test_one_seed() -> None:
    assert trouble_in(int(os.environ["CONSISTENCY_SEED"])) == ""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_leader_that_does_not_ask_whether_it_still_leads_is_caught(seed: int) -> None:
    """Cut off, it goes on to answer for as long as `leader_fallback`, and its successor is elected sooner."""
    isolations = [fault for fault in FAULTS if fault.name == "isolate leader"]
    findings = SimulatedRun(seed, seconds=60.0, faults=isolations, leaders_ask=False).run()
    assert {finding.verdict for finding in findings} == {Verdict.WRONG_ANSWER}
    assert SimulatedRun(seed, seconds=60.0, faults=isolations).run() == []


def test_a_seed_gives_the_same_history() -> None:
    one, other = SimulatedRun(3, seconds=10.0), SimulatedRun(3, seconds=10.0)
    one.run()
    other.run()
    assert len(one.history) > 100
    assert one.history == other.history


def test_a_plan_uses_every_fault_and_keeps_to_its_time() -> None:
    faults = list(plan(5, 200.0))
    assert {fault.name for fault in faults} == {fault.name for fault in FAULTS}
    ends = [fault.begins + fault.lasts for fault in faults]
    assert all(end < fault.begins for end, fault in zip(ends, faults[1:], strict=False))
    assert ends[-1] < 200.0
    assert all(set(fault.victims) <= set(Part) for fault in faults)


def verdicts(seed: int, *names: str) -> set[Verdict]:
    """Of a run with only these faults."""
    chosen = [fault for fault in FAULTS if fault.name in names]
    return {finding.verdict for finding in SimulatedRun(seed, seconds=30.0, faults=chosen).run()}


def test_a_journal_that_is_not_synced_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdicts(1, "kill all") == set()
    monkeypatch.setattr(SimulatedJournal, "sync", lambda journal: None)
    assert Verdict.BROKEN in verdicts(1, "kill all")


def test_an_update_of_an_old_version_that_wins_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def ignore_version(change: Change, action: UpdateConfigLabels) -> None:
        current = change.state.config(action.config_id).version
        update_config_labels(change, replace(action, version=current))

    monkeypatch.setitem(HANDLERS, UpdateConfigLabels, ignore_version)
    assert Verdict.BROKEN in verdicts(1, "clock ahead")


def test_a_name_given_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(change: Change, action: CreateConfig) -> None:
        change.state.put_config(replace(action.config, version=change.index))

    monkeypatch.setitem(HANDLERS, CreateConfig, create)
    assert verdicts(1, "clock ahead") & {Verdict.BROKEN, Verdict.WRONG_ANSWER}


def test_a_manager_that_applies_otherwise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digests tell, whether or not any client saw the difference."""
    applied = count()

    def update(change: Change, action: UpdateConfigLabels) -> None:
        labels = (*action.labels, ("applied", "early" if next(applied) % 7 else "late"))
        update_config_labels(change, replace(action, labels=labels))

    monkeypatch.setitem(HANDLERS, UpdateConfigLabels, update)
    run = SimulatedRun(1, seconds=10.0)
    assert run.run() == []
    assert len(run.differences) == 1
