"""Names over time: what tasks on every node are told while the tasks behind a name are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.service import Service
from tests.cluster.conftest import IMAGE, overlay_network

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def webnet(request: pytest.FixtureRequest, swarm: Cluster) -> Iterator[str]:
    with overlay_network(request, swarm, "webnet") as name:
        yield name


@pytest.mark.parametrize("order", ["stop-first", pytest.param("start-first", marks=pytest.mark.gate)])
def test_no_answer_is_stale_over_a_rolling_update_of_ten_tasks(
    swarm: Cluster, webnet: str, deploy: Callable[..., Service], order: str
) -> None:
    web = deploy(replicas=10, parallelism=2, order=order, networks=[webnet], publish={})

    with swarm.dns(web, "tasks.web", network=webnet) as watch:
        web.update(image=f"{IMAGE}:2")

    ledger = watch.ledger
    print(ledger.explain())  # noqa: T201
    assert ledger.changes >= len(swarm.nodes) * 2, "the watchers must have seen the tasks change"
    assert ledger.stale_seconds == 0, ledger.explain()
    assert ledger.wrong_answers == 0, ledger.explain()
    assert ledger.incomplete_answers == 0, ledger.explain()
    assert ledger.gaps == 0, ledger.explain()


def test_names_are_right_while_tasks_are_scaled_away(
    swarm: Cluster, webnet: str, deploy: Callable[..., Service]
) -> None:
    """Also to the watch, when the containers themselves are gone by its end."""
    web = deploy(replicas=6, networks=[webnet], publish={}, endpoint_mode="dnsrr")

    with swarm.dns(web, network=webnet) as watch:
        web.scale(3)

    ledger = watch.ledger
    assert ledger.changes >= len(swarm.nodes), ledger.explain()
    assert (ledger.stale_seconds, ledger.faults, ledger.gaps) == (0, (), 0), ledger.explain()
    assert ledger.shortest_warning is not None, "the watch must have seen the containers end"


def test_without_withdrawal_the_watch_sees_stale_answers(
    swarm: Cluster, webnet: str, deploy: Callable[..., Service]
) -> None:
    """What the other tests are worth: with the hole open, the same watch finds it."""
    labels = {"swarm.withdraw": "off", "swarm.drain": "off"}
    web = deploy(replicas=4, networks=[webnet], publish={}, labels=labels)

    with swarm.dns(web, "tasks.web", network=webnet) as watch:
        web.update(image=f"{IMAGE}:2")

    assert watch.ledger.stale_seconds > 0, watch.ledger.explain()


def test_a_services_name_is_its_virtual_address_throughout(
    swarm: Cluster, webnet: str, deploy: Callable[..., Service]
) -> None:
    web = deploy(replicas=2, networks=[webnet], publish={})

    with swarm.dns(web, network=webnet) as watch:
        web.update(image=f"{IMAGE}:2")

    ledger = watch.ledger
    assert len({sample.addresses for sample in watch.samples}) == 1, ledger.explain()
    assert (ledger.stale_seconds, ledger.faults, ledger.gaps) == (0, (), 0), ledger.explain()
