"""What a node tells of itself for diagnosis."""

from orchestrator.model.consensus import ConsensusStatus, PeerStatus
from orchestrator.model.network import NetworkConfiguration
from orchestrator.testing.cluster_backend import FakeLifecycle
from tests.unit.api.client import Api, run

STATUS = ConsensusStatus(
    address="10.0.0.1:2378",
    leads=True,
    leader="10.0.0.1:2378",
    term=3,
    commit_index=7,
    applied_index=6,
    first_index=2,
    last_index=8,
    state_index=5,
    state_digest="0f",
    is_ready=True,
    election_in=0.5,
    peers=(PeerStatus("10.0.0.2:2378", connected=True, answered=False, next_index=9, match_index=4),),
)


def test_a_manager_tells_how_it_stands() -> None:
    async def scenario(api: Api) -> None:
        status, answer = await api.call("GET", "/debug/swarm")
        assert status == 200
        assert answer["consensus"]["peers"] == [
            {
                "address": "10.0.0.2:2378",
                "connected": True,
                "answered": False,
                "next_index": 9,
                "match_index": 4,
            }
        ]
        assert (answer["consensus"]["state_index"], answer["consensus"]["state_digest"]) == (5, "0f")
        assert answer["network"]["revision"] == 5

    run(
        scenario,
        lifecycle=FakeLifecycle(consensus_now=lambda: STATUS, network_configuration=NetworkConfiguration(revision=5)),
    )


def test_what_is_no_manager_has_no_part_in_the_consensus() -> None:
    async def scenario(api: Api) -> None:
        _, answer = await api.call("GET", "/v1.45/debug/swarm")
        assert answer["consensus"] is None
        assert answer["local"]["state"] == "inactive"

    run(scenario, lifecycle=FakeLifecycle())
