"""Keeps the node's data plane at the newest configuration, and says how far it has come.

What it says is what the managers build on: a task may stop only after every live node has said that it sends to it
no more and that no connection to it is left.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from orchestrator.interfaces import Connections, DataPlane
from orchestrator.model.network import NetworkConfiguration
from orchestrator.model.session import Flows, Heartbeat
from orchestrator.model.task import Task

logger = logging.getLogger(__name__)

FLOW_POLL_INTERVAL_S = 0.1
"""Between looks at the connections of withdrawn tasks."""
RETRY_INTERVAL_S = 0.5
"""Before a configuration is tried again that the kernel refused, or a network that the engine did."""


class NetworkFollower:
    """Applies configurations one at a time, always the newest, and measures the flows to what was withdrawn."""

    def __init__(
        self,
        data_plane: DataPlane,
        connections: Connections,
        *,
        process_ids: Callable[[], Mapping[str, int]],
        progressed: Callable[[], None],
    ) -> None:
        self._data_plane = data_plane
        self._connections = connections
        self._process_ids = process_ids
        self._progressed = progressed
        self._newest: NetworkConfiguration | None = None
        self._applied: NetworkConfiguration | None = None
        self._refused: frozenset[str] = frozenset()
        """Ids of networks that the engine will not have as they should be for now."""
        self._retry_at = 0.0
        self._flows: Flows = ()
        self._wake = asyncio.Event()
        self._carried = asyncio.Condition()

    @property
    def newest(self) -> NetworkConfiguration | None:
        """The configuration to reach; None before the managers said anything."""
        return self._newest

    @property
    def progress(self) -> Heartbeat:
        """The revision in force and the flows measured after it took effect."""
        return Heartbeat(self._applied.revision if self._applied else 0, self._flows)

    def follow(self, configuration: NetworkConfiguration) -> None:
        """Make this the configuration to reach."""
        if configuration != self._newest:
            self._newest = configuration
            self._wake.set()

    async def wait_carried(self, task: Task) -> None:
        """Return when this node carries every network of the task as the managers now want it.

        A node that had given a network back may get it anew with another gateway: a container that joined the old
        bridge would keep it from ever being replaced.
        """
        wanted = {attachment.network_id for attachment in task.attachments}
        async with self._carried:
            await self._carried.wait_for(lambda: wanted <= self._carried_ids())

    async def wait_reached(self, revision: int) -> None:
        """Return when the kernel has that revision or a later one."""
        async with self._carried:
            await self._carried.wait_for(lambda: self.progress.revision >= revision)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._step()
            except OSError as error:
                logger.error("the data plane could not be changed: %s", error)
                await asyncio.sleep(RETRY_INTERVAL_S)

    async def _step(self) -> None:
        if self._newest is self._applied:
            await _wait(self._wake, self._patience())
        self._wake.clear()
        newest = self._newest
        if newest is None:
            return
        before = self.progress
        if newest is not self._applied or (self._refused and self._retry_in() <= 0):
            self._refused = await self._data_plane.apply(newest)
            self._retry_at = asyncio.get_running_loop().time() + RETRY_INTERVAL_S
        flows = await self._measure(newest)
        # Set together: a revision is only ever reported with flows measured after it took effect.
        self._applied, self._flows = newest, flows
        async with self._carried:
            self._carried.notify_all()
        if self.progress != before:
            self._progressed()

    async def _measure(self, configuration: NetworkConfiguration) -> Flows:
        draining = {endpoint.task_id for service in configuration.services for endpoint in service.draining}
        if not draining:
            return ()
        counts = dict(await self._data_plane.flows(configuration))
        for task_id, process_id in self._process_ids().items():
            if task_id in draining:
                # Those that came in at this node itself are among both.
                counts[task_id] = max(counts.get(task_id, 0), await self._connections.open_count(process_id))
        return tuple(sorted((task_id, count) for task_id, count in counts.items() if count))

    def _patience(self) -> float | None:
        """How long there is nothing to do unless something new comes; None: for ever."""
        if self._applied is not None and any(service.draining for service in self._applied.services):
            return FLOW_POLL_INTERVAL_S
        return max(self._retry_in(), 0.0) if self._refused else None

    def _retry_in(self) -> float:
        return self._retry_at - asyncio.get_running_loop().time()

    def _carried_ids(self) -> set[str]:
        if self._applied is None or self._newest is None:
            return set()
        as_wanted = set(self._applied.networks) & set(self._newest.networks)
        return {network.network_id for network in as_wanted} - self._refused


async def _wait(event: asyncio.Event, timeout: float | None) -> None:
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        return
