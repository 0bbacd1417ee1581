"""The article's experiment: requests go on while three replicas of a service that dies at once are updated."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.load import Load
from pytest_swarm.service import Service
from tests.cluster.conftest import QUICK
from tests.cluster.losses import assert_nothing_lost

pytestmark = pytest.mark.cluster


@pytest.mark.gate
def test_the_article_loses_nothing(deploy: Callable[..., Service], load: Load) -> None:
    """As the article did it: Docker's default order, everything sent to one node. It lost 8 of 500."""
    web = deploy(replicas=3)

    with load(web, users=10, requests=500, targets="one-node") as run:
        web.update(image="docker-swarm-test:2")

    assert_nothing_lost(run)


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_an_update_loses_nothing(deploy: Callable[..., Service], load: Load, order: str) -> None:
    web = deploy(replicas=3, order=order, env=QUICK)

    with load(web, users=10, requests=1000, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    assert_nothing_lost(run)


@pytest.mark.soak
@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_an_update_of_the_article_service_loses_nothing(deploy: Callable[..., Service], load: Load, order: str) -> None:
    web = deploy(replicas=3, order=order)

    with load(web, users=10, requests=500, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    assert_nothing_lost(run)
