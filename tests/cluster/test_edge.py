"""A real nginx in front, inside the overlay, which finds the service by name, as the article suggests.

Asked for `tasks.web` it connects to a task itself, no balancer of ours is on the way, and only two things keep a
request from a task that stops: the names, which forget it first, and its own node, which sees who is still connected.
Asked for `web` it connects to the virtual address. nginx must not try again (`proxy_next_upstream off`), or it would
hide each loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.service import Service
from tests.cluster.command_line import update_and_wait
from tests.cluster.conftest import overlay_network

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.cluster

# Nothing is published that could say at which port the service is to listen.
SLOW_TO_LISTEN = {"BOOT_SECONDS": "2"}
_ANSWERED = re.compile(r"^\d+\.\d{3} 200 ", re.MULTILINE)


@pytest.fixture(scope="module")
def edge_image(request: pytest.FixtureRequest, swarm: Cluster, swarm_host: docker.DockerClient) -> str:
    """The image, in every node."""
    from pytest_swarm.image import ensure_edge_image
    from pytest_swarm.session import session_of

    archives = ensure_edge_image(swarm_host, progress=session_of(request.config).progress)
    swarm.load_images(archives)
    (name,) = archives
    return name


@pytest.fixture(scope="module")
def webnet(request: pytest.FixtureRequest, swarm: Cluster) -> Iterator[str]:
    with overlay_network(request, swarm, "webnet") as name:
        yield name


@pytest.fixture
def deploy_behind_edge(
    swarm: Cluster, edge_image: str, webnet: str, deploy: Callable[..., Service]
) -> Callable[..., tuple[Service, Service]]:
    """Deploy `web`, not published, and `edge`, which is and asks for `upstream`; other arguments as for `deploy`."""

    def deploy_both(*, upstream: str, **arguments: object) -> tuple[Service, Service]:
        web = deploy(networks=[webnet], publish={}, **arguments)
        edge = swarm.deploy(
            edge_image,
            name="edge",
            command=["/edge"],
            replicas=2,
            networks=[webnet],
            publish={80: 80},
            env={"UPSTREAM": upstream},
        )
        return web, edge

    return deploy_both


@pytest.fixture
def othernet(request: pytest.FixtureRequest, swarm: Cluster) -> Iterator[str]:
    """A second one, which no service is on yet."""
    with overlay_network(request, swarm, "othernet") as name:
        yield name


def complaints(edge: Service) -> str:
    """What nginx logged that is not a request answered with 200."""
    return "\n".join(line for line in edge.logs().splitlines() if not _ANSWERED.search(line))


# Somebody is nearly always connected to a task that many ask slowly, which keeps it from stopping; so it takes few and
# quick requests to meet a task that stops while nginx still keeps its address.
@pytest.mark.parametrize(("users", "block_seconds", "requests"), [(10, "1", 320), (2, "0.02", 1500)])
def test_an_update_behind_nginx_loses_nothing(
    deploy_behind_edge: Callable[..., tuple[Service, Service]],
    load: Load,
    users: int,
    block_seconds: str,
    requests: int,
) -> None:
    web, edge = deploy_behind_edge(
        upstream="tasks.web", replicas=3, order="stop-first", env={"BLOCK_SECONDS": block_seconds}
    )

    with load(web, through=edge, users=users, requests=requests, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    assert run.lost == 0, run.explain() + complaints(edge)
    assert run.duplicates == 0, run.explain()
    assert run.versions == {"1", "2"}


def test_networks_and_aliases_change_and_the_virtual_address_loses_nothing(
    deploy_behind_edge: Callable[..., tuple[Service, Service]], load: Load, webnet: str, othernet: str
) -> None:
    web, edge = deploy_behind_edge(upstream="web", replicas=3, parallelism=2, env=SLOW_TO_LISTEN)

    with load(web, through=edge, requests=600, targets="all-nodes") as run:
        update_and_wait(web, "--network-add", othernet)
        update_and_wait(web, "--network-rm", webnet, "--network-add", f"name={webnet},alias=shop")
        update_and_wait(web, "--network-rm", othernet)

    assert run.lost == 0, run.explain() + complaints(edge)
    assert run.duplicates == 0, run.explain()
    (attached,) = web.inspect()["Spec"]["TaskTemplate"]["Networks"]
    assert attached["Aliases"] == ["shop"]


def test_without_the_readiness_gate_the_virtual_address_loses(
    swarm: Cluster, deploy_behind_edge: Callable[..., tuple[Service, Service]], load: Load
) -> None:
    """What the test above is worth."""
    if swarm.engine.name == "docker":
        pytest.skip("the label is ours")
    labels = {"swarm.readiness": "off"}
    web, edge = deploy_behind_edge(upstream="web", replicas=3, env=SLOW_TO_LISTEN, labels=labels)

    with load(web, through=edge, users=10, requests=250, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    assert run.lost > 0
    assert not any(loss.received for loss in run.ledger.losses), run.explain()
