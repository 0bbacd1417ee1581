"""One node of a cluster: a container with an engine inside, and the client of its API."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.engine_client import connect_node, new_container, release_container_client
from pytest_swarm.engines.base import API_MOUNT, Engine
from pytest_swarm.ownership import Owner
from pytest_swarm.waiting import Done, NotYet

if TYPE_CHECKING:
    import docker
    from testcontainers.core.network import Network

_LOG_LINES = 30


@dataclasses.dataclass(frozen=True)
class NodePlan:
    """Everything needed to start a node; `directory` is the host's folder for its API socket.

    Without an `address` the engine chooses one, and another one when the node's container starts again.
    """

    host: docker.DockerClient
    name: str
    image: str
    network: Network
    directory: Path
    owner: Owner
    engine: Engine
    address: str | None = None


class Node:
    """A node. `address` is its address on the cluster's network; `is_down` is set while a fault keeps its API away."""

    def __init__(self, name: str, container: Any, address: str, socket: Path) -> None:
        self.name = name
        self.container = container
        self.address = address
        self.is_down = False
        self._socket = socket
        self._client: docker.DockerClient | None = None

    @property
    def container_name(self) -> str:
        return str(self.container.name)

    @property
    def client(self) -> docker.DockerClient:
        """A docker-py client of the node's own API."""
        if self._client is None:
            self._client = connect_node(self._socket)
        return self._client

    def answers(self) -> Done[None] | NotYet:
        """Whether the node's API answers yet, and the engine behind it."""
        return self._try(lambda: self.client.info())

    def knows_leader(self) -> Done[None] | NotYet:
        """Whether the node, if it is a manager, can be asked about the swarm."""

        def ask() -> None:
            if self.client.info()["Swarm"]["ControlAvailable"]:
                self.client.api.nodes()

        return self._try(ask)

    def _try(self, ask: Callable[[], object]) -> Done[None] | NotYet:
        from docker.errors import DockerException

        try:
            ask()
        except (DockerException, OSError) as error:
            return NotYet(f"{self.name}: {str(error).splitlines()[0]}")
        return Done(None)

    def log_tail(self) -> str:
        """Return the last line of the node's log."""
        lines = self.container.logs(tail=_LOG_LINES).decode(errors="replace").splitlines()
        return lines[-1] if lines else "(empty)"

    def run_command(self, command: list[str]) -> str:
        """Run a command in the node and return what it printed. Raises RuntimeError when it fails."""
        status, output = self.container.exec_run(command)
        text = str(output.decode(errors="replace"))
        if status != 0:
            raise RuntimeError(f"{self.name}: {command} ended with {status}: {text}")
        return text

    def open_socket_to_owner(self) -> None:
        """Let a pytest that is not root use the API; the socket's folder is private to its user."""
        if os.getuid() != 0:
            self.run_command(["chmod", "0666", f"{API_MOUNT}/{self._socket.name}"])

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def start_node(plan: NodePlan) -> Node:
    """Start a node's container; its engine comes up on its own."""
    from pytest_swarm.image import node_run_options

    socket_directory = plan.directory / plan.name
    socket_directory.mkdir()
    container = (
        new_container(plan.image)
        .with_name(plan.owner.name_of(plan.name))
        .with_network(plan.network)
        .with_envs(**plan.engine.environment())
        .with_volume_mapping(socket_directory, API_MOUNT, "rw")
        .with_kwargs(**_container_options(node_run_options(), plan), **_fixed_address(plan))
    )
    container.start()
    wrapped = plan.host.containers.get(container.get_container_id())
    release_container_client(container)
    address = wrapped.attrs["NetworkSettings"]["Networks"][plan.network.name]["IPAddress"]
    return Node(plan.name, wrapped, address, socket_directory / "docker.sock")


def _fixed_address(plan: NodePlan) -> dict[str, Any]:
    if plan.address is None:
        return {}
    endpoint = plan.host.api.create_endpoint_config(ipv4_address=plan.address)
    return {"networking_config": {plan.network.name: endpoint}}


def _container_options(options: dict[str, Any], plan: NodePlan) -> dict[str, Any]:
    mounts = options.pop("mounts", [])
    for mount in mounts:
        if mount["Type"] == "volume":
            mount.setdefault("VolumeOptions", {})["Labels"] = plan.owner.labels
    # testcontainers passes these two itself; tmpfs would come twice.
    tmpfs = options.pop("tmpfs", {})
    options.pop("detach", None)
    mounts += [{"Type": "tmpfs", "Target": target} for target in tmpfs]
    return {**options, "mounts": mounts, "hostname": plan.name, "labels": plan.owner.labels}
