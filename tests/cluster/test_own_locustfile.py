"""A Locust file that knows nothing of this project drives the load, unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_swarm.load import Load
from pytest_swarm.service import Service

pytestmark = pytest.mark.cluster


@pytest.mark.loss_budget(lost=0, p99="5s")
def test_their_load_loses_nothing_in_an_update(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=2, order="start-first")

    with load(web, locustfile=Path(__file__).with_name("visitors.py"), users=5, duration=20) as run:
        web.update(image="docker-swarm-test:2")

    assert run.versions == {"1", "2"}
    assert run.ledger.sent > 50
    assert run.unproven[0].startswith("HttpUser waits for ever unless")
