"""The readiness gate: when a started task may be called running, and so be balanced to.

With a healthcheck, when it passes; without one, when every published TCP target port accepts connections. Docker
calls a task running as soon as its container started, which is the first of the four holes in a rolling update.

A service that publishes nothing is still reached by its name on the networks it is on, and nobody has said at which
port: there any will do. It may be one that only asks others and never listens, so that wait is short and fails nothing.
"""

import asyncio
import logging

from orchestrator.interfaces import Connections, Engine, TaskFailed
from orchestrator.model.task import Task
from orchestrator.model.zero_loss import switches_of

logger = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.02
"""Between looks at the namespace's listening sockets; a look reads two files of /proc."""
UNPUBLISHED_WAIT_S = 5.0
"""How long a task that others reach by name alone may take to listen, before it counts as one that never will."""


class ReadinessGate:
    """Waits for tasks to be ready."""

    def __init__(self, engine: Engine, connections: Connections) -> None:
        self._engine = engine
        self._connections = connections

    async def wait(self, task: Task, process_id: int) -> None:
        """Return when the task is ready. Raises `TaskFailed` when it is not in time.

        A healthcheck says itself how long it may take, with its start period, interval and retries.
        """
        switches = switches_of(task.labels)
        if self._engine.has_healthcheck(task):
            await self._engine.wait_healthy(task)
        elif switches.readiness:
            published = sorted({port.target_port for port in task.ports if port.protocol == "tcp"})
            for port in published:
                await self._wait_published(process_id, port, switches.readiness_timeout)
            if task.spec.networks and not published:
                await self._wait_any(task, process_id, min(UNPUBLISHED_WAIT_S, switches.readiness_timeout))

    async def _wait_published(self, process_id: int, port: int, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._accepts(process_id, port)
        except TimeoutError:
            raise TaskFailed(f"published port {port}/tcp accepted no connection within {timeout:g}s") from None

    async def _wait_any(self, task: Task, process_id: int, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._accepts(process_id)
        except TimeoutError:
            logger.info("no port accepted a connection within %gs", timeout, extra={"task_id": task.id})

    async def _accepts(self, process_id: int, port: int | None = None) -> None:
        while not await self._connections.accepts(process_id, port):
            await asyncio.sleep(POLL_INTERVAL_S)
