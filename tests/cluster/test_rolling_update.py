"""The article's experiment: 500 requests while three replicas of a service that dies at once are updated."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.load import Load
from pytest_swarm.load_settings import Targets
from pytest_swarm.service import Service

pytestmark = pytest.mark.cluster


# The article sent everything to one node.
@pytest.mark.parametrize(
    ("order", "targets"), [("stop-first", "one-node"), ("stop-first", "all-nodes"), ("start-first", "all-nodes")]
)
def test_update_loses_nothing(deploy: Callable[..., Service], load: Load, order: str, targets: Targets) -> None:
    web = deploy(replicas=3, order=order)

    with load(web, users=10, requests=500, targets=targets) as run:
        web.update(image="docker-swarm-test:2")

    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()
    assert run.versions == {"1", "2"}
