"""The matrix covers what it says it does."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from tests.benchmarks.scenarios import SHORT, Event, Scenario, Traffic, full, unable

VALUES: dict[str, list[Any]] = {
    "event": list(Event),
    "order": ["stop-first", "start-first"],
    "healthcheck": [False, True],
    "graceful": [False, True],
    "listens_after": [0.0, 0.2, 1.0, 5.0],
    "answers_after": [0.1, 1.0, 5.0, 15.0],
    "traffic": list(Traffic),
    "replicas": [1, 3, 10],
}


def test_every_value_of_every_dimension_occurs_in_the_short_form() -> None:
    for field, values in VALUES.items():
        assert {getattr(scenario, field) for scenario in SHORT} >= set(values), field


def test_every_pair_of_values_occurs_in_the_full_form() -> None:
    scenarios = [dataclasses.asdict(scenario) for scenario in full()]
    for (one, ones), (other, others) in itertools.combinations(VALUES.items(), 2):
        seen = {(scenario[one], scenario[other]) for scenario in scenarios}
        assert seen >= set(itertools.product(ones, others)), (one, other)


def test_names_tell_scenarios_apart() -> None:
    names = [scenario.name for scenario in full()]
    assert len(set(names)) == len(names)
    assert Scenario(order="start-first", replicas=1).name == "update, start-first, 1 replicas"


def test_clients_that_keep_connections_are_waited_for_no_longer_than_a_request_takes() -> None:
    kept = Scenario(traffic=Traffic.KEEP_ALIVE, answers_after=0.1)
    assert kept.drain_timeout == 4.0
    assert Scenario().drain_timeout is None
    assert kept.name == "update, answers after 0.1 s, keep-alive, drain timeout 4 s"
    # The load lasts through the wait for each of the three tasks.
    assert kept.requests * kept.answers_after / kept.users >= 3 * kept.drain_timeout


def test_without_a_mesh_each_task_needs_a_node() -> None:
    assert unable("docker", 4, True, Scenario(replicas=10)) == ""
    assert "10 on 4 nodes" in unable("docker", 4, False, Scenario(replicas=10))
    assert "6 on 4 nodes" in unable("docker", 4, False, Scenario(event=Event.SCALE_UP))
    assert "free" in unable("docker", 3, False, Scenario(order="start-first"))
    assert unable("docker", 4, False, Scenario()) == ""
