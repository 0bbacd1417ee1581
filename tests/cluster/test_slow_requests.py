"""Requests of five seconds outlast the pauses by which orchestrators usually hope to spare them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.load import Load
from pytest_swarm.service import Service

pytestmark = pytest.mark.cluster


def test_update_waits_for_slow_requests(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3, env={"BLOCK_SECONDS": "5"})

    with load(web, users=20, requests=200, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()
