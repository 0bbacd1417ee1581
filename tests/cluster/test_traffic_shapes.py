"""An update loses nothing of other shapes of traffic: bodies that are sent slowly, answers that stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_swarm.load import Load
from pytest_swarm.service import Service

pytestmark = [pytest.mark.cluster, pytest.mark.loss_budget(lost=0, duplicates=0)]

SHAPES: dict[str, dict[str, Any]] = {
    "slow-body": {"method": "POST", "body_bytes": 10_000, "body_seconds": 1.0},
    "streaming": {"path": "/stream"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_loses_nothing_of(deploy: Callable[..., Service], load: Load, shape: str) -> None:
    web = deploy(replicas=2, order="start-first")

    with load(web, users=8, requests=160, targets="all-nodes", **SHAPES[shape]) as run:
        web.update(image="docker-swarm-test:2")

    assert run.versions == {"1", "2"}
