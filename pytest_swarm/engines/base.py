"""What the plugin needs to know about whatever orchestrates the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

# Where each node's API socket appears on the host: a folder of the host, mounted into the node.
API_MOUNT = "/run/swarm-api"
API_SOCKET = f"{API_MOUNT}/docker.sock"

PublishMode = Literal["ingress", "host"]


class Engine(Protocol):
    """An orchestrator that speaks the Docker Engine API for swarm mode."""

    @property
    def name(self) -> str:
        """The value of `--swarm-engine`."""

    def environment(self) -> Mapping[str, str]:
        """The node's environment variables; the API must come to listen on API_SOCKET too."""

    def boot_command(self) -> list[str] | None:
        """A command to run once in every node after its API answers, or None."""

    def state_directory(self) -> str:
        """Where a node keeps what it knows of the swarm; the node's entrypoint gives it a disk of its own."""

    def publish_mode(self) -> PublishMode:
        """How services publish ports: on every node (ingress), or only where a task runs (host)."""

    def header_note(self) -> str | None:
        """One line for pytest's header about a limit of this engine on this machine."""
