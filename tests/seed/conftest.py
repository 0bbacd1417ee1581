"""The article's nodes: engines that belong to no swarm yet, under the names that the author gave to his."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_swarm.node import Node
from pytest_swarm.session import session_of
from tests.bare_nodes import bare_nodes
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
    names = ["manager-1", *(f"worker-{number}" for number in range(1, count))]
    with bare_nodes(session, swarm_host, swarm_node_image, names) as started:
        yield started
