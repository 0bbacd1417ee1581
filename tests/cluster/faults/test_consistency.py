"""What clients of all managers are told while managers break is what one copy of each object would have told them."""

import pytest

from pytest_swarm.cluster import Cluster
from tests.consistency.cluster_target import ClusterTarget
from tests.consistency.live_run import LiveRun
from tests.consistency.nemesis import CALM, HASTE, Pace, Part

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("seed", "seconds", "pace"),
    [
        pytest.param(2, 12.0, HASTE, id="short", marks=pytest.mark.gate),
        pytest.param(1, 60.0, CALM, id="long"),
    ],
)
def test_histories_are_linearizable(swarm: Cluster, seed: int, seconds: float, pace: Pace) -> None:
    if swarm.managers < len(Part):
        pytest.skip(f"the faults are for {len(Part)} managers")
    report = LiveRun(ClusterTarget(swarm), seed, seconds, pace=pace).run()
    assert report.is_valid, report.explain()
