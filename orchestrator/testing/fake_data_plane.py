"""In-memory stand-ins for the node's network: the test says which connections there are."""

import asyncio

from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.session import Flows


class FakeDataPlane:
    """A `DataPlane` that remembers what it was told."""

    def __init__(self) -> None:
        self.applied: list[NetworkConfiguration] = []
        self.open: dict[str, int] = {}
        """Open connections by task id, set by the test."""
        self.gate: asyncio.Event | None = None
        """When set, `apply` waits for it: a kernel that takes its time."""
        self.refusals = 0
        """How many of the next calls the kernel refuses."""
        self.refused_networks: frozenset[str] = frozenset()
        """Ids of the networks that the engine will not have."""
        self.removed = False
        self.avoided: frozenset[str] = frozenset()

    async def apply(self, configuration: NetworkConfiguration) -> frozenset[str]:
        """Remember the configuration."""
        if self.gate is not None:
            await self.gate.wait()
        if self.refusals:
            self.refusals -= 1
            raise OSError("the kernel refused")
        self.applied.append(configuration)
        return self.refused_networks & {network.network_id for network in configuration.networks}

    async def avoid(self, node_ids: frozenset[str]) -> None:
        """Remember the nodes."""
        if self.refusals:
            self.refusals -= 1
            raise OSError("the kernel refused")
        self.avoided = node_ids

    async def flows(self, configuration: NetworkConfiguration) -> Flows:
        """What the test put into `open`, of the endpoints that are draining."""
        draining = [endpoint.task_id for service in configuration.services for endpoint in service.draining]
        return tuple((task_id, self.open[task_id]) for task_id in draining if self.open.get(task_id))

    async def remove(self) -> None:
        """Remember the removal."""
        self.removed = True


class FakeConnections:
    """`Connections` of processes the test invents."""

    def __init__(self) -> None:
        self.listening: set[tuple[int, int]] = set()
        """(process id, port) pairs that accept."""
        self.open: dict[int, int] = {}
        """Open connections by process id."""

    async def accepts(self, process_id: int, port: int | None = None) -> bool:
        """Whether the pair is in `listening`; without a port, whether any of the process is."""
        return any(pid == process_id and port in (None, listening) for pid, listening in self.listening)

    async def open_count(self, process_id: int) -> int:
        """What the test put into `open`."""
        return self.open.get(process_id, 0)
