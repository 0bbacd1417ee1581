"""Scaling and draining under load, with a service that needs two seconds until it listens."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.service import Service

pytestmark = pytest.mark.cluster

SLOW_TO_LISTEN = {"BOOT_SECONDS": "2"}


def test_scaling_up_and_down_loses_nothing(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3, env=SLOW_TO_LISTEN)

    with load(web, targets="all-nodes") as run:
        web.scale(6)
        web.scale(2)

    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


def test_draining_a_node_loses_nothing(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3, env=SLOW_TO_LISTEN)
    # It goes on taking requests in, and passes them to the others.
    node = web.nodes()[-1]

    with load(web, targets="all-nodes") as run:
        swarm.drain(node)

    assert node not in web.nodes()
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


def test_updating_a_service_slow_to_listen_loses_nothing(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3, env=SLOW_TO_LISTEN)

    with load(web, requests=400, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()
