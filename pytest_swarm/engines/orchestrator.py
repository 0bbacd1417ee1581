"""Our own orchestrator: `swarmd` beside an engine in each node."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_swarm.engines.base import API_SOCKET, PublishMode


class Orchestrator:
    """`swarmd`, with the routing mesh on every node."""

    name = "orchestrator"

    def environment(self) -> Mapping[str, str]:
        return {"SWARM_ENGINE": self.name, "SWARM_API_SOCKET": API_SOCKET}

    def boot_command(self) -> list[str] | None:
        return None

    def state_directory(self) -> str:
        return "/var/lib/swarm"

    def publish_mode(self) -> PublishMode:
        return "ingress"

    def header_note(self) -> str | None:
        return None
