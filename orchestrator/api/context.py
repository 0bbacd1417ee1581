"""What every handler is given: the parts behind the HTTP layer, and the request's API version."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from orchestrator.api import errors
from orchestrator.api.backend import ClusterBackend, EngineClient, Lifecycle, LocalNodeState
from orchestrator.model.errors import NoLeader

API_VERSION = (1, 45)
MIN_API_VERSION = (1, 24)
MAX_FOLLOWERS = 256

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Following:
    """Counts clients that follow logs and events; each costs buffers here and a stream of an engine."""

    count: int = 0

    @contextlib.contextmanager
    def one_more(self) -> Iterator[None]:
        """While the block runs there is one more. Raises `NotAvailable` when there are too many already."""
        if self.count >= MAX_FOLLOWERS:
            raise errors.NotAvailable(f"more than {MAX_FOLLOWERS} clients follow logs and events of this node")
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


@dataclass(frozen=True, slots=True)
class Context:
    """The application's parts."""

    lifecycle: Lifecycle
    cluster: Callable[[], ClusterBackend | None]
    """The cluster as this node serves it; None unless it is a manager that runs."""
    engine: EngineClient
    forwards: bool = True
    """False for the application that answers other managers: what it cannot answer it never hands on again."""
    following: Following = field(default_factory=Following)
    """Who reads what does not end by itself."""
    background: set[asyncio.Task[None]] = field(default_factory=set)
    """Work that outlives the request that began it; held here until it ends."""

    def manager(self) -> ClusterBackend:
        """The cluster. Raises `NotAvailable`, saying what this node is instead of a manager."""
        cluster = self.cluster()
        if cluster is not None:
            return cluster
        local = self.lifecycle.local
        if local.state is LocalNodeState.LOCKED:
            raise errors.NotAvailable(errors.SWARM_LOCKED)
        if local.state not in (LocalNodeState.ACTIVE, LocalNodeState.ERROR):
            raise errors.NotAvailable(errors.NOT_IN_SWARM)
        raise errors.NotAvailable(errors.MANAGER_NOT_READY if local.is_manager else errors.NOT_A_MANAGER)

    async def forward(self, request: web.Request, cluster: ClusterBackend) -> web.StreamResponse:
        """The leader's answer. Raises `Unavailable` or `NotAvailable` when there is no leader to ask."""
        if not self.forwards:
            raise NoLeader
        return await cluster.forward(request)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run the work beyond this request; a failure nobody waits for is logged."""
        task = asyncio.create_task(work, name=name)
        self.background.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[None]) -> None:
        self.background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.warning("background work failed: %s", error, extra={"work": task.get_name()})


CONTEXT = web.AppKey("context", Context)


def api_version(request: web.Request) -> tuple[int, int]:
    """The version the request is in: of its path, else the newest."""
    major, minor = request.match_info.get("major"), request.match_info.get("minor")
    return API_VERSION if major is None or minor is None else (int(major), int(minor))
