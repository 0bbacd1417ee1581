"""The readiness gate: when a started task may be called running, and so be balanced to.

With a healthcheck, when it passes; without one, when every published TCP target port accepts connections. Docker
calls a task running as soon as its container started, which is the first of the four holes in a rolling update.
"""

import asyncio

from orchestrator.interfaces import Connections, Engine, TaskFailed
from orchestrator.model.task import Task
from orchestrator.model.zero_loss import switches_of

POLL_INTERVAL_S = 0.02
"""Between looks at the namespace's listening sockets; a look reads two files of /proc."""


class ReadinessGate:
    """Waits for tasks to be ready."""

    def __init__(self, engine: Engine, connections: Connections) -> None:
        self._engine = engine
        self._connections = connections

    async def wait(self, task: Task, process_id: int) -> None:
        """Return when the task is ready. Raises `TaskFailed` when it is not within its readiness timeout."""
        switches = switches_of(task.labels)
        if self._engine.has_healthcheck(task):
            await self._engine.wait_healthy(task, switches.readiness_timeout)
        elif switches.readiness:
            for port in sorted({port.target_port for port in task.ports if port.protocol == "tcp"}):
                await self._wait_accepts(process_id, port, switches.readiness_timeout)

    async def _wait_accepts(self, process_id: int, port: int, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not await self._connections.accepts(process_id, port):
                    await asyncio.sleep(POLL_INTERVAL_S)
        except TimeoutError:
            raise TaskFailed(f"published port {port}/tcp accepted no connection within {timeout:g}s") from None
