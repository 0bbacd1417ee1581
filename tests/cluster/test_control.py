"""The control that proves the ruler: with the holes torn open by labels, the same load sees requests lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.ledger import Entry
from pytest_swarm.load import Load
from pytest_swarm.service import Service

pytestmark = pytest.mark.cluster

UNPROTECTED = {"swarm.readiness": "off", "swarm.withdraw": "off", "swarm.drain": "off"}
SLOW_TO_LISTEN = {"BOOT_SECONDS": "2"}

# Requests of a whole second: shorter ones end by themselves while the news of the withdrawal travels.
REQUESTS = 200


@pytest.fixture(autouse=True)
def _labels_mean_something(swarm: Cluster) -> None:
    if swarm.engine.name == "docker":
        pytest.skip("the labels are ours: Docker's swarm mode knows none of the protections they switch off")


@pytest.mark.gate
def test_an_unprotected_update_loses_requests(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3, labels=UNPROTECTED)

    with load(web, users=10, requests=REQUESTS, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    assert run.lost > 0, run.explain()
    assert run.duplicates == 0, run.explain()


@pytest.mark.parametrize(
    ("hole", "environment", "is_of_this_hole"),
    [
        # Nobody listens yet: the service never sees the request.
        ("readiness", SLOW_TO_LISTEN, lambda loss: loss.request_class == "refused" and not loss.received),
        # The service had begun with it.
        ("drain", {}, lambda loss: bool(loss.received) and not loss.finished),
    ],
    ids=["readiness", "drain"],
)
def test_a_single_hole_loses_its_own_kind(
    deploy: Callable[..., Service],
    load: Load,
    hole: str,
    environment: dict[str, str],
    is_of_this_hole: Callable[[Entry], bool],
) -> None:
    web = deploy(replicas=3, labels={f"swarm.{hole}": "off"}, env=environment)

    with load(web, users=10, requests=REQUESTS, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    assert any(map(is_of_this_hole, run.ledger.losses)), run.explain()
