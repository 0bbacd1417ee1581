"""A cluster that is broken on purpose belongs to the module that breaks it."""

from __future__ import annotations

import pytest

from pytest_swarm.cluster import Cluster


@pytest.fixture(scope="module")
def swarm(fresh_swarm: Cluster) -> Cluster:
    """The cluster of the module that asks."""
    return fresh_swarm


@pytest.fixture
def three_own_managers(swarm: Cluster) -> None:
    """Skip what is about this project's managers, and about a majority of them, where it cannot be seen."""
    if swarm.engine.name == "docker":
        pytest.skip("this is about our managers")
    if swarm.managers < 3:
        pytest.skip("this takes three managers")
