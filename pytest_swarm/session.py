"""What one pytest session knows: its options, the cluster it booted and the loads it ran."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_swarm.baseline import Comparison, Figures
from pytest_swarm.options import Options
from pytest_swarm.progress import Progress

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster
    from pytest_swarm.failure_archive import FailureArchive
    from pytest_swarm.load import LoadRun
    from pytest_swarm.report.outcome import Outcome


@dataclasses.dataclass
class Session:
    """Kept in `config.stash`; the report is made from it after the last test.

    `clusters` has the one booted last on each engine. `figures` are those of each valid run, by its test and its name.
    `another_test_follows` is true only while a test is taken down to make room for the next one.
    `failures_not_archived` says of each failure that has no archive why not.
    """

    options: Options
    progress: Progress
    clusters: dict[str, Cluster] = dataclasses.field(default_factory=dict)
    runs: list[LoadRun] = dataclasses.field(default_factory=list)
    figures: dict[str, Figures] = dataclasses.field(default_factory=dict)
    baseline: Mapping[str, Figures] | None = None
    comparison: Comparison | None = None
    any_failed: bool = False
    another_test_follows: bool = False
    kept_clusters: list[Cluster] = dataclasses.field(default_factory=list)
    failure_archives: list[FailureArchive] = dataclasses.field(default_factory=list)
    failures_not_archived: list[str] = dataclasses.field(default_factory=list)
    outcomes_of_workers: list[Outcome] = dataclasses.field(default_factory=list)

    @property
    def failures_directory(self) -> Path:
        """Where archives of failures go: they outlive the cluster, whose own folder is removed with it."""
        root = self.options.report_dir or self.options.storage
        return root.resolve() / "failures"

    def wants_to_keep_cluster(self) -> bool:
        keep = self.options.keep
        return keep == "always" or (keep == "on-failure" and self.any_failed)


SESSION_KEY = pytest.StashKey[Session]()


def session_of(config: pytest.Config) -> Session:
    return config.stash[SESSION_KEY]


def results_directory(root: Path, test: str, load: str) -> Path:
    """Make an empty folder for the results of one load of one test."""
    directory = root / re.sub(r"[^\w.-]+", "_", test).strip("_") / load
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("requests.jsonl", "control.jsonl", "end.json"):
        (directory / name).unlink(missing_ok=True)
    return directory
