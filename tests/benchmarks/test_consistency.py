"""The long form of `tests/cluster/faults/test_consistency.py`: twenty seeds of a minute, in a table.

`CONSISTENCY_SEEDS=5-8` runs a piece of it.
"""

import os
from collections.abc import Iterator

import pytest

from pytest_swarm.cluster import Cluster
from tests.benchmarks.book import print_past_capture
from tests.consistency.cluster_target import ClusterTarget
from tests.consistency.live_run import LiveRun
from tests.consistency.nemesis import Part
from tests.consistency.report import Report, table

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

SECONDS = 60.0
FIRST, _, LAST = os.environ.get("CONSISTENCY_SEEDS", "1-20").partition("-")
SEEDS = range(int(FIRST), int(LAST or FIRST) + 1)


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Iterator[list[Report]]:
    """Printed as a table after the last seed."""
    made: list[Report] = []
    yield made
    print_past_capture(request.config, table(made))


@pytest.mark.parametrize("seed", SEEDS)
def test_histories_are_linearizable(swarm: Cluster, reports: list[Report], seed: int) -> None:
    if swarm.managers < len(Part):
        pytest.skip(f"the faults are for {len(Part)} managers")
    report = LiveRun(ClusterTarget(swarm), seed, SECONDS).run()
    reports.append(report)
    assert report.is_valid, report.explain()
