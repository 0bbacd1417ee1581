"""The recording's four nodes and its image: the sample service's, with the three programs that the commands run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_swarm.node import Node
from pytest_swarm.service_images import Archive, load_into_all
from pytest_swarm.session import session_of
from tests.bare_nodes import add_programs, bare_nodes

if TYPE_CHECKING:
    import docker

NAMES = ("n1", "n2", "n3", "n4")
PROGRAMS = {
    # Listens, and hears no SIGTERM, as the one of the recording does as the first process of its container.
    "bin/httpd": b"""#!/usr/bin/python3 -ISB
import socket
import sys

server = socket.create_server(("", int(sys.argv[sys.argv.index("-p") + 1])))
while True:
    server.accept()[0].close()
""",
    "bin/true": b"#!/bin/sh\nexit 0\n",
    "bin/false": b"#!/bin/sh\nexit 1\n",
}


@pytest.fixture(scope="module")
def nodes(
    request: pytest.FixtureRequest,
    swarm_host: docker.DockerClient,
    swarm_node_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Node]]:
    """Node name -> the node, in no swarm yet, with the image."""
    from pytest_swarm.image import ensure_service_images

    session = session_of(request.config)
    archives = {}
    for name, sample in ensure_service_images(swarm_host, progress=session.progress).items():
        path = tmp_path_factory.mktemp("image") / "image.tar.gz"
        add_programs(sample, path, PROGRAMS)
        archives[name] = Archive(path, is_saved=False)
    with bare_nodes(session, swarm_host, swarm_node_image, NAMES) as started:
        load_into_all([node.client for node in started], archives)
        yield {node.name: node for node in started}
