"""What counts as news in a node's word: the leader's deciders look again only then."""

import pytest

from orchestrator.manager.observations import Observations
from orchestrator.model.session import Heartbeat

WEB = (("web", 1),)


@pytest.mark.parametrize(
    ("heartbeat", "period", "is_news"),
    [
        (Heartbeat(3, WEB), 5.0, False),
        (Heartbeat(4, WEB), 5.0, True),
        (Heartbeat(3, ()), 5.0, True),
        # Who waits for its silence waits until the end of the old period.
        (Heartbeat(3, WEB), 1.0, True),
    ],
    ids=["the same", "a revision", "connections", "a period"],
)
def test_what_a_node_says_anew(heartbeat: Heartbeat, period: float, is_news: bool) -> None:
    observations = Observations()
    assert observations.heard("n1", Heartbeat(3, WEB), 100.0, 5.0)
    assert observations.heard("n1", heartbeat, 101.0, period) is is_news
    assert observations.by_node["n1"].last_heard == 101.0
    assert observations.by_node["n1"].period == period
