"""The sample service on a cluster, as the seed's article deployed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.service import Service

if TYPE_CHECKING:
    import docker

IMAGE = "docker-swarm-test"
COMMAND = ["/docker-swarm-test"]

QUICK = {"BLOCK_SECONDS": "0.2"}
"""The environment of a service that makes the same experiment in a fifth of the time."""

# Somebody else's project: test_fresh_project.py runs it in a pytest of its own.
collect_ignore = ["fresh_project"]


@pytest.fixture(scope="session")
def swarm_images(request: pytest.FixtureRequest, swarm_host: docker.DockerClient) -> Mapping[str, Path]:
    """Both versions of the sample service, built from this checkout."""
    from pytest_swarm.image import ensure_service_images
    from pytest_swarm.session import session_of

    return ensure_service_images(swarm_host, progress=session_of(request.config).progress)


@contextmanager
def overlay_network(request: pytest.FixtureRequest, swarm: Cluster, name: str) -> Iterator[str]:
    """An overlay network of this name; it goes with the services on it, unless the session ends here anyway."""
    from pytest_swarm.session import session_of

    created = swarm.api.create_network(name, driver="overlay")
    yield name
    if session_of(request.config).another_test_follows:
        for service in swarm.services:
            service.remove()
        swarm.api.remove_network(created["Id"])


@pytest.fixture
def deploy(swarm: Cluster) -> Callable[..., Service]:
    """Deploy version 1 of the sample service; keyword arguments as for `swarm.deploy`."""

    def deploy_sample(**arguments: Any) -> Service:
        return swarm.deploy(f"{IMAGE}:1", name="web", command=COMMAND, **arguments)

    return deploy_sample
