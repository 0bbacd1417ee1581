"""Docker's own swarm mode in the same node image: the yardstick."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_swarm.engines.base import API_SOCKET, PublishMode

_IPVS = Path("/proc/net/ip_vs")


class DockerSwarm:
    """Swarm mode of the node's engine. Its routing mesh needs IPVS in the machine's kernel."""

    name = "docker"

    def environment(self) -> Mapping[str, str]:
        return {"SWARM_ENGINE": self.name, "SWARM_SOCKET": API_SOCKET}

    def boot_command(self) -> list[str] | None:
        # The engine listens on one socket; the CLI inside the node looks for it in the usual place.
        return ["ln", "-sf", API_SOCKET, "/var/run/docker.sock"]

    def state_directory(self) -> str:
        return "/var/lib/docker/swarm"

    def publish_mode(self) -> PublishMode:
        return "ingress" if _IPVS.exists() else "host"

    def header_note(self) -> str | None:
        if _IPVS.exists():
            return None
        return "this kernel has no IPVS, so Docker's routing mesh cannot answer: ports are published in host mode"
