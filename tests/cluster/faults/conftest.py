"""A cluster that is broken on purpose belongs to the module that breaks it."""

from __future__ import annotations

import pytest

from pytest_swarm.cluster import Cluster


@pytest.fixture(scope="module")
def swarm(fresh_swarm: Cluster) -> Cluster:
    """The cluster of the module that asks."""
    return fresh_swarm
