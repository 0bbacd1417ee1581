"""A node that reports and yet takes no network revision: it is declared down, and only then the old tasks stop."""

import pytest

from orchestrator.control import node_liveness
from orchestrator.control.plan import NOTHING
from orchestrator.model.node import NodeState
from orchestrator.model.service import Service, UpdateState
from orchestrator.model.task import Task
from orchestrator.state.actions import CreateService, UpdateService
from orchestrator.testing.simulated_agent import SimulatedAgent
from orchestrator.testing.simulated_cluster import SimulatedCluster
from tests.builders import a_spec

STUCK = "node4"
SETTLED_S, UPDATED_S, RECOVERED_S = 20.0, 300.0, 30.0
"""Each of the three tasks is held for its whole drain timeout: of connections by the stuck node nothing is known."""


def with_a_stuck_node(patch: pytest.MonkeyPatch) -> tuple[SimulatedCluster, list[NodeState]]:
    """A cluster that was told to update a service while the kernel of one node takes nothing.

    Also the state of that node at each stop of a running container.
    """
    cluster = SimulatedCluster(seed=1)
    cluster.propose((CreateService(Service("web-id", a_spec(image="good:1", replicas=3), 0)),))
    cluster.clock.run_until(cluster.clock.now + SETTLED_S)
    states: list[NodeState] = []
    check = cluster.invariants.before_stop

    def before_stop(task: Task) -> None:
        states.append(cluster.state.nodes[STUCK].state)
        check(task)

    for agent in cluster.agents.values():
        patch.setattr(agent, "_before_stop", before_stop)
    patch.setattr(cluster.agents[STUCK], "_apply_network", lambda: None)
    service = cluster.state.service("web-id")
    cluster.propose((UpdateService(service.id, service.version, a_spec(image="good:2", replicas=3)),))
    cluster.clock.run_until(cluster.clock.now + UPDATED_S)
    return cluster, states


def test_the_update_goes_on_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, states_at_stops = with_a_stuck_node(monkeypatch)

    status = cluster.state.service("web-id").update_status
    assert status is not None
    assert status.state is UpdateState.COMPLETED
    assert set(states_at_stops) == {NodeState.DOWN}
    assert "did not acknowledge network revision" in cluster.state.nodes[STUCK].message


def test_it_is_ready_again_when_it_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, _ = with_a_stuck_node(monkeypatch)
    agent = cluster.agents[STUCK]

    monkeypatch.setattr(agent, "_apply_network", SimulatedAgent._apply_network.__get__(agent))
    agent._apply_network()
    cluster.clock.run_until(cluster.clock.now + RECOVERED_S)

    assert cluster.state.nodes[STUCK].is_ready
    assert agent.applied is not None
    assert agent.applied.revision == cluster.state.network_revision


def test_without_that_verdict_the_update_would_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_liveness, "_overdue", lambda *_: NOTHING)

    cluster, states_at_stops = with_a_stuck_node(monkeypatch)

    status = cluster.state.service("web-id").update_status
    assert status is not None
    assert status.state is UpdateState.UPDATING
    assert states_at_stops == []
