"""The article's nodes: engines that belong to no swarm yet, under the names that the author gave to his."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_swarm.boot import NODE_ANSWERS_SECONDS, BootPlan, create_network
from pytest_swarm.cleanup import owning
from pytest_swarm.engines import engine_named
from pytest_swarm.interruption import sigterm_as_interrupt
from pytest_swarm.node import Node, NodePlan, start_node
from pytest_swarm.session import session_of
from pytest_swarm.waiting import wait_until
from tests.seed.alpine import add_alpine

if TYPE_CHECKING:
    import docker

FEWEST_NODES = 3


@pytest.fixture(scope="module")
def archives(
    request: pytest.FixtureRequest, swarm_host: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    """The images of the session, as the archives that `docker import` takes; `alpine` is one made for it."""
    from pytest_swarm.image import ensure_service_images

    built = ensure_service_images(swarm_host, progress=session_of(request.config).progress)
    alpine = tmp_path_factory.mktemp("alpine") / "alpine.tar.gz"
    add_alpine(built["docker-swarm-test:1"], alpine)
    return {**built, "alpine": alpine}


@pytest.fixture(scope="module")
def nodes(
    request: pytest.FixtureRequest, swarm_host: docker.DockerClient, swarm_node_image: str
) -> Iterator[tuple[Node, ...]]:
    """manager-1, worker-1, worker-2, ...: as many nodes as `--swarm-nodes` says, but at least three."""
    session = session_of(request.config)
    count = max(session.options.nodes, FEWEST_NODES)
    engine = engine_named(session.options.engines[0])
    names = ["manager-1", *(f"worker-{number}" for number in range(1, count))]
    with (
        sigterm_as_interrupt(),
        owning(swarm_host, session.progress) as (owner, directory),
        contextlib.ExitStack() as clients,
    ):
        network = create_network(BootPlan(swarm_host, owner, directory, swarm_node_image, engine, count, 1))
        plans = [NodePlan(swarm_host, name, swarm_node_image, network, directory, owner, engine) for name in names]
        with ThreadPoolExecutor(count) as pool:
            started = tuple(pool.map(start_node, plans))
        for node in started:
            clients.callback(node.close)
        for node in started:
            wait_until(node.answers, what=f"API of {node.name}", timeout=NODE_ANSWERS_SECONDS)
            node.open_socket_to_owner()
            if command := engine.boot_command():
                node.run_command(command)
        session.progress.clear()
        yield started
    session.progress.clear()
