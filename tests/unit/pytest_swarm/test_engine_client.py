"""Connecting to the host's engine: each way it can be unfit is one line that says what to do."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import testcontainers.core.docker_client

from pytest_swarm import engine_client
from pytest_swarm.engine_client import DockerUnavailable, connect_host


class Engine:
    """Stands in for docker-py's client; it knows nothing but its version."""

    def __init__(self, **version: str) -> None:
        self._version = {"Os": "linux", "ApiVersion": "1.41", "Version": "20.10.24", **version}
        self.closed = False

    def version(self) -> dict[str, str]:
        return self._version

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def silent_socket(tmp_path: Path) -> Iterator[Path]:
    """A socket that was left behind: the file is there, but nobody listens."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        yield path


def install(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(engine_client, "_probe", lambda path: None)
    monkeypatch.setattr(docker, "from_env", lambda **options: engine)
    return engine


def refusal() -> str:
    with pytest.raises(DockerUnavailable) as error:
        connect_host()
    message = str(error.value)
    assert "\n" not in message
    return message


def test_an_engine_of_the_oldest_version_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = install(Engine(), monkeypatch)

    assert connect_host() is engine
    assert not engine.closed


def test_no_engine_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")

    assert refusal() == (
        f"no Docker Engine answers at unix://{tmp_path}/none.sock: "
        "install one (apt-get install docker.io) and start it, or set DOCKER_HOST"
    )


def test_the_engine_is_not_running(monkeypatch: pytest.MonkeyPatch, silent_socket: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{silent_socket}")

    assert refusal() == (
        f"no Docker Engine answers at unix://{silent_socket}: start it (systemctl start docker), or correct DOCKER_HOST"
    )


def test_nobody_listens_at_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")

    assert re.fullmatch(rf"no Docker Engine answers at http://127.0.0.1:{port}: start it .*", refusal())


def test_the_user_may_not_use_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine_client, "_probe", refuse)

    assert refusal() == (
        "the Docker Engine at unix:///var/run/docker.sock refuses this user: "
        "join the group docker and log in again, or be root"
    )


def test_what_listens_speaks_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def garble(**options: object) -> None:
        raise docker.errors.DockerException("Error while fetching\nserver API version: BadStatusLine('hello')")

    monkeypatch.setattr(engine_client, "_probe", lambda path: None)
    monkeypatch.setattr(docker, "from_env", garble)

    assert "check that it runs, and DOCKER_HOST: Error while fetching server API version:" in refusal()


def test_the_address_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "nonsense")

    assert refusal().startswith("DOCKER_HOST is 'nonsense': ")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            {"ApiVersion": "1.40", "Version": "19.03.15"},
            "Docker 19.03.15 (API 1.40) is too old: install 20.10 or newer",
        ),
        ({"Os": "windows"}, "Docker runs Windows containers here: switch it to Linux containers"),
    ],
)
def test_the_engine_is_of_no_use(monkeypatch: pytest.MonkeyPatch, version: dict[str, str], message: str) -> None:
    engine = install(Engine(**version), monkeypatch)

    assert refusal() == message
    assert engine.closed


def test_a_node_of_a_cluster_hosts_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that `cluster env` has put into the shell."""
    asked: list[str | None] = []
    engine = Engine()

    def from_env(**options: Any) -> Engine:
        asked.append(options["environment"].get("DOCKER_HOST"))
        return engine

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tempfile.gettempdir()}/swarm-0badcafe-x/n1/docker.sock")
    monkeypatch.setattr(engine_client, "_probe", asked.append)
    monkeypatch.setattr(docker, "from_env", from_env)

    connect_host()

    assert asked == ["/var/run/docker.sock", None]


@pytest.mark.parametrize("context", [None, "tcp://127.0.0.1:1"], ids=["a-node", "a-context"])
def test_containers_and_networks_are_made_where_the_cluster_is(
    monkeypatch: pytest.MonkeyPatch, context: str | None
) -> None:
    """Not where testcontainers would: at the node that `cluster env` put into the shell, or a context's engine."""
    node = f"unix://{tempfile.gettempdir()}/swarm-0badcafe-x/n1/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", node)
    if context is not None:
        monkeypatch.setattr(testcontainers.core.docker_client, "get_docker_host", lambda: context)

    for made in (engine_client.new_container("image"), engine_client.new_network("network", {})):
        assert made._docker.client.api.base_url == "http+docker://localhost"
        assert made._docker.client.api.get_adapter("http+docker://localhost").socket_path == "/var/run/docker.sock"
        made._docker.client.close()

    assert os.environ["DOCKER_HOST"] == node
