"""The only door to Docker's Python libraries: they are imported on first use, so `pytest --help` needs neither."""

from __future__ import annotations

import contextlib
import os
import socket as socket_module
import struct
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.ownership import PREFIX

if TYPE_CHECKING:
    import docker
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.network import Network

API_TIMEOUT_SECONDS = 60
# Docker 20.10, the first with private control groups for a container: without them nodes would share theirs.
OLDEST_API = (1, 41)
# What the engines of a swarm put on the container of a task.
SERVICE_LABEL = "com.docker.swarm.service.id"
TASK_LABEL = "com.docker.swarm.task.name"
_UNIX_SCHEME = "http+unix://"
# Nodes boot in threads.
_ENVIRONMENT_LOCK = threading.Lock()


class DockerUnavailable(Exception):
    """No Docker Engine here can carry a cluster; the message is one line and says what to do."""


def connect_host() -> docker.DockerClient:
    """Connect to the engine that hosts the clusters: the one DOCKER_HOST names, or this machine's own.

    A DOCKER_HOST that `cluster env` has set names a node, which hosts nothing: then too it is this machine's own.

    Raises DockerUnavailable when there is none, it refuses us, or it is of no use for a cluster.
    """
    import docker
    from docker.errors import DockerException
    from docker.utils import parse_host

    try:
        environment = _engine_environment()
        address = parse_host(environment.get("DOCKER_HOST"))
    except DockerException as error:
        raise DockerUnavailable(f"DOCKER_HOST is {os.environ['DOCKER_HOST']!r}: {_one_line(error)}") from None
    client = None
    try:
        if address.startswith(_UNIX_SCHEME):
            _probe(address.removeprefix(_UNIX_SCHEME))
        client = docker.from_env(timeout=API_TIMEOUT_SECONDS, environment=environment)
        _require_suitable(client.version())
    except (DockerException, OSError) as error:
        raise DockerUnavailable(_explain(address.removeprefix("http+"), error)) from None
    except DockerUnavailable:
        if client is not None:
            client.close()
        raise
    return client


def _engine_environment() -> dict[str, str]:
    """What docker-py shall take the engine's address from."""
    return {name: value for name, value in os.environ.items() if not _names_a_node(name, value)}


def _names_a_node(variable: str, value: str) -> bool:
    """Whether this is the address of the API socket of a cluster's node."""
    if variable != "DOCKER_HOST" or not value.startswith("unix://"):
        return False
    folder = Path(value.removeprefix("unix://")).parent.parent
    return folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith(PREFIX)


def connect_node(socket: Path) -> docker.DockerClient:
    """Connect to a node's API. Raises OSError or docker.errors.DockerException while nothing answers there."""
    import docker

    from pytest_swarm.unix_transport import ClosingAdapter

    _probe(str(socket))
    client = docker.DockerClient(base_url=f"unix://{socket}", version="auto", timeout=API_TIMEOUT_SECONDS)
    client.api.get_adapter(client.api.base_url).close()
    client.api.mount(client.api.base_url, ClosingAdapter(f"{_UNIX_SCHEME}{socket}", timeout=API_TIMEOUT_SECONDS))
    return client


def engine_errors() -> tuple[type[Exception], ...]:
    """What docker-py lets through when an engine or a connection to it fails, or is closed while being read."""
    from docker.errors import DockerException
    from urllib3.exceptions import HTTPError

    return (DockerException, HTTPError, OSError, ValueError, AttributeError, struct.error)


def _probe(path: str) -> None:
    """Raise OSError when nobody listens at a unix socket; docker-py would leak the socket it tried with."""
    with socket_module.socket(socket_module.AF_UNIX) as probe:
        probe.settimeout(API_TIMEOUT_SECONDS)
        probe.connect(path)


def new_container(image: str) -> DockerContainer:
    """Describe a container for testcontainers to start, on the engine of `connect_host`."""
    _disable_reaper()
    from testcontainers.core.container import DockerContainer

    with _same_engine() as settings:
        return DockerContainer(image, docker_client_kw=settings)


def new_network(name: str, parameters: dict[str, object]) -> Network:
    """Describe a network for testcontainers to create, on the engine of `connect_host`.

    `parameters` are those of docker-py's `networks.create`.
    """
    _disable_reaper()
    from testcontainers.core.network import Network

    with _same_engine() as settings:
        network = Network(docker_client_kw=settings, docker_network_kw=parameters)
    network.name = name
    return network


@contextlib.contextmanager
def _same_engine() -> Iterator[dict[str, object]]:
    """Keep testcontainers from choosing an engine by its own rules, and from writing its choice into our environment.

    Those are `docker context` and `~/.testcontainers.properties`, which `connect_host` does not go by.
    """
    with _ENVIRONMENT_LOCK:
        before = os.environ.get("DOCKER_HOST")
        try:
            yield {"environment": _engine_environment()}
        finally:
            os.environ.pop("DOCKER_HOST", None)
            if before is not None:
                os.environ["DOCKER_HOST"] = before


def release_container_client(container: DockerContainer) -> None:
    """Close the connection that testcontainers opens for each container, and would close when it stops it."""
    container.get_docker_client().client.close()


def _disable_reaper() -> None:
    # testcontainers reads this at import. Its reaper is an image that cannot be pulled everywhere, and it would
    # remove the clusters that one wants to keep; our labels and `pytest-swarm-cleanup` do its work.
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"


def _require_suitable(version: Mapping[str, Any]) -> None:
    if version.get("Os", "linux") != "linux":
        raise DockerUnavailable("Docker runs Windows containers here: switch it to Linux containers")
    if tuple(map(int, version["ApiVersion"].split("."))) < OLDEST_API:
        raise DockerUnavailable(
            f"Docker {version['Version']} (API {version['ApiVersion']}) is too old: install 20.10 or newer"
        )


def _explain(where: str, error: BaseException) -> str:
    causes = tuple(_causes(error))
    if any(isinstance(cause, FileNotFoundError) for cause in causes):
        return (
            f"no Docker Engine answers at {where}: install one (apt-get install docker.io) and start it, "
            "or set DOCKER_HOST"
        )
    if any(isinstance(cause, PermissionError) for cause in causes):
        return f"the Docker Engine at {where} refuses this user: join the group docker and log in again, or be root"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"no Docker Engine answers at {where}: start it (systemctl start docker), or correct DOCKER_HOST"
    return f"no Docker Engine answers at {where}, check that it runs, and DOCKER_HOST: {_one_line(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """What lies behind an error: docker-py, requests and urllib3 each wrap the one below."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
