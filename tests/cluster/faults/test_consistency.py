"""What clients of all managers are told while managers break is what one copy of each object would have told them."""

import pytest

from pytest_swarm.cluster import Cluster
from tests.consistency.cluster_target import ClusterTarget
from tests.consistency.live_run import LiveRun
from tests.consistency.nemesis import Part

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SECONDS = 60.0


@pytest.mark.parametrize("seed", [1])
def test_histories_are_linearizable(swarm: Cluster, seed: int) -> None:
    if swarm.managers < len(Part):
        pytest.skip(f"the faults are for {len(Part)} managers")
    report = LiveRun(ClusterTarget(swarm), seed, SECONDS).run()
    assert report.is_valid, report.explain()
