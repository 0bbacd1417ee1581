"""Tasks as containers of the node's own Docker engine.

Implements `interfaces.Engine`. Each method is one step of a task's life and waits only for that step: what comes next
is the agent's decision. Start latency shows in every figure a user sees, so the common path has no spare round trip:
create; start and inspect; wait.
"""

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from orchestrator import clock
from orchestrator.duties import first_ended
from orchestrator.executor import status_rules
from orchestrator.executor.container_rules import (
    FILES_DIRECTORY,
    LABEL_NETWORK_ID,
    LABEL_TASK_ID,
    bridge_network_name,
    create_body,
    endpoint_settings,
)
from orchestrator.executor.engine_client import EngineClient, EngineError
from orchestrator.executor.image_puller import pull_image
from orchestrator.executor.log_rules import STDOUT, Demultiplexer
from orchestrator.executor.resolver_files import ResolverFiles
from orchestrator.interfaces import TaskFailed, TaskRejected
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.node import NodeDescription
from orchestrator.model.session import LogFrame, LogRequest
from orchestrator.model.task import NetworkAttachment, Task, TaskStatus

START_DEADLINE_S = 120.0
"""Docker's CLI waits without limit; this only frees a task from an engine that hangs."""

KILL_MARGIN_S = 30.0
"""Added to the grace period: the engine kills, then cleans up, before it answers."""

_EVENTS_OVERLAP_S = 2.0
"""The engine answers an events call just before it subscribes: ask for the seconds before, so that none is missed."""

_CONCURRENT_INSPECTIONS = 8
_LOG_CHUNK_BYTES = 64 * 1024

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Container:
    """What is remembered of a task's container."""

    id: str
    has_started: bool = False
    has_healthcheck: bool | None = None
    """None before it was inspected."""


class DockerEngine:
    """`interfaces.Engine` over Docker's API.

    `nameservers` gives the resolvers a task asks first, and `resolver_files` writes them down for it; `now` gives
    seconds since the epoch for statuses; `files_directory` is where the tasks' secrets and configs are, and
    `network_name` gives the engine's name of a cluster network.
    """

    def __init__(
        self,
        client: EngineClient,
        nameservers: Callable[[Task], tuple[str, ...]] = lambda _: (),
        resolver_files: ResolverFiles | None = None,
        now: Callable[[], float] = clock.now,
        files_directory: str = FILES_DIRECTORY,
        network_name: Callable[[str], str] = bridge_network_name,
    ) -> None:
        self._client = client
        self._nameservers = nameservers
        self._resolver_files = resolver_files
        self._now = now
        self._files_directory = files_directory
        self._network_name = network_name
        self._containers: dict[str, _Container] = {}
        """By task id; a task that is removed is forgotten."""
        self._description: NodeDescription | None = None

    @property
    def description(self) -> NodeDescription:
        """What the node was when it was last described; nothing is known before."""
        return self._description or NodeDescription("")

    async def describe(self) -> NodeDescription:
        """What the node is and has. Raises `EngineError` (an `OSError`) when the engine cannot be asked."""
        self._description = status_rules.node_description(await self._client.call("GET", "info"))
        return self._description

    async def pull(self, task: Task) -> None:
        """Bring the task's image here if it is not; one that cannot be had is `prepare`'s to tell of."""
        container = task.spec.container
        try:
            await self._client.call("GET", f"images/{quote(container.image)}/json")
        except EngineError as error:
            if error.is_not_found:
                await pull_image(self._client, container.image, container.registry_auth)

    async def prepare(self, task: Task) -> str:
        """Create the container; returns its id. Raises `TaskRejected` with the engine's own text."""
        try:
            node = self._description or await self.describe()
            nameservers = self._nameservers(task)
            resolver_file = await self._resolver_files.write(task, nameservers) if self._resolver_files else ""
            body = create_body(task, node, nameservers, self._files_directory, resolver_file, self._network_name)
            return await self._create(task, body)
        except (InvalidArgument, OSError) as error:
            raise TaskRejected(str(error)) from error

    async def start(self, task: Task) -> TaskStatus:
        """Start the container; returns RUNNING, with process id 0 when it has already ended again."""
        try:
            known = self._containers.get(task.id)
            if known is None or known.has_started:
                found = await self._inspect(task)
                if status_rules.has_ended(found):
                    # The engine would run it again, but a task runs once.
                    raise TaskFailed(status_rules.ended_status(found, self._now()).error or "task: has already ended")
            await self._client.call("POST", f"{self._path(task)}/start", deadline_s=START_DEADLINE_S)
            return status_rules.running_status(await self._inspect(task), self._now())
        except EngineError as error:
            raise TaskFailed(f"starting container failed: {error}") from error

    async def wait_healthy(self, task: Task) -> None:
        """Return when the healthcheck passes or there is none; raises `TaskFailed`."""
        try:
            container = await self._inspect(task)
            if not status_rules.has_healthcheck(container):
                return
            limit_s = status_rules.health_seconds(container)
            try:
                async with asyncio.timeout(limit_s):
                    await self._wait_health(task, "healthy")
            except TimeoutError as error:
                raise TaskFailed(f"container was not healthy within {limit_s:g} s") from error
        except EngineError as error:
            raise TaskFailed(str(error)) from error

    def has_healthcheck(self, task: Task) -> bool:
        """Whether the started container has a healthcheck; before it was started, whether its spec has one."""
        known = self._containers.get(task.id)
        if known is not None and known.has_healthcheck is not None:
            return known.has_healthcheck
        check = task.spec.container.healthcheck
        return check is not None and bool(check.test) and not check.is_disabled

    async def wait_exit(self, task: Task, *, watch_health: bool = True) -> TaskStatus:
        """Return when the container has ended, or has turned unhealthy and so failed, though it still runs."""
        try:
            if task.id not in self._containers:
                await self._inspect(task)
            cause = await self._wait_end(task, watch_health and self.has_healthcheck(task))
            container = await self._inspect(task)
        except EngineError as error:
            if error.is_not_found:
                raise TaskFailed(str(error)) from error
            raise
        return status_rules.ended_status(container, self._now(), cause)

    async def stop(self, task: Task) -> None:
        """Stop signal, grace period, kill; one that has ended or is gone is left alone. Raises `EngineError`."""
        # The engine counts whole seconds; never less than the user asked for.
        grace_s = math.ceil(task.spec.container.stop_grace_period_in_force)
        try:
            await self._client.call(
                "POST", f"{self._path(task)}/stop", {"t": str(grace_s)}, deadline_s=grace_s + KILL_MARGIN_S
            )
        except EngineError as error:
            if not error.is_not_found:
                raise

    async def remove(self, task: Task) -> None:
        """Kill and erase the container with its anonymous volumes. Raises `EngineError`."""
        parameters = {"force": "1", "v": "1"}
        try:
            await self._client.call("DELETE", self._path(task), parameters, deadline_s=START_DEADLINE_S)
        except EngineError as error:
            # Conflict: a removal of the same container is already under way.
            if not (error.is_not_found or error.is_conflict):
                raise
        self._containers.pop(task.id, None)
        if self._resolver_files is not None:
            await self._resolver_files.erase(task.id)

    async def attached(self) -> Mapping[str, str]:
        """What runs on networks of ours and is no task, by network id. Raises `EngineError`."""
        filters = json.dumps({"label": [LABEL_NETWORK_ID]})
        networks = await self._client.call("GET", "networks", {"filters": filters})
        ours = {network["Id"]: network["Labels"][LABEL_NETWORK_ID] for network in networks}
        running = await self._client.call("GET", "containers/json")
        found = {
            ours[endpoint["NetworkID"]]: container["Names"][0].removeprefix("/")
            for container in running
            if LABEL_TASK_ID not in (container["Labels"] or {})
            for endpoint in container["NetworkSettings"]["Networks"].values()
            if endpoint["NetworkID"] in ours
        }
        return dict(sorted(found.items()))

    async def tasks(self) -> Sequence[tuple[str, TaskStatus]]:
        """(task id, status) of every container of ours, ordered by task id. Raises `EngineError` (an `OSError`)."""
        filters = json.dumps({"label": [LABEL_TASK_ID]})
        listed = await self._client.call("GET", "containers/json", {"all": "1", "filters": filters})
        gate = asyncio.Semaphore(_CONCURRENT_INSPECTIONS)

        async def observe(listed_container: Mapping[str, Any]) -> tuple[str, TaskStatus] | None:
            try:
                async with gate:
                    container = await self._client.call("GET", f"containers/{listed_container['Id']}/json")
            except EngineError as error:
                if error.is_not_found:
                    return None
                raise
            task_id = container["Config"]["Labels"][LABEL_TASK_ID]
            self._remember(task_id, container)
            return task_id, status_rules.observed_status(container, self._now())

        found = await asyncio.gather(*(observe(container) for container in listed))
        return sorted((item for item in found if item is not None), key=lambda item: item[0])

    async def logs(self, request: LogRequest) -> AsyncIterator[LogFrame]:
        """The log as frames of at most `log_rules.MAX_FRAME_BYTES`; only the end frame when the container is gone."""
        try:
            container = await self._container_of(request.task_id)
            params = {
                "follow": str(int(request.follow)),
                "stdout": str(int(request.stdout)),
                "stderr": str(int(request.stderr)),
                "since": f"{request.since:.9f}",
                "tail": request.tail,
                "timestamps": str(int(request.timestamps)),
                "details": str(int(request.details)),
            }
            async with self._client.stream("GET", f"containers/{container['Id']}/logs", params) as content:
                async for stream, data in _log_payloads(content, bool(container["Config"]["Tty"])):
                    yield LogFrame(number=request.number, stream=stream, data=data.decode("latin-1"))
        except EngineError as error:
            logger.warning("log of a task broke off", extra={"task_id": request.task_id, "error": str(error)})
        yield LogFrame(number=request.number, end=True)

    async def _create(self, task: Task, body: Mapping[str, Any]) -> str:
        try:
            created = await self._client.call("POST", "containers/create", {"name": task.container_name}, body)
        except EngineError as error:
            if not error.is_conflict:
                raise
            return await self._adopt(task)
        self._containers[task.id] = _Container(id=str(created["Id"]))
        await self._connect(task, task.attachments[1:])
        return str(created["Id"])

    async def _adopt(self, task: Task) -> str:
        """The id of the container an earlier attempt made. Its name holds the task's id, so it can only be ours."""
        container = await self._inspect(task)
        connected = container["NetworkSettings"]["Networks"]
        missing = [item for item in task.attachments if self._network_name(item.network_id) not in connected]
        await self._connect(task, missing)
        return str(container["Id"])

    async def _connect(self, task: Task, attachments: Sequence[NetworkAttachment]) -> None:
        """One after the other: the engine names the interfaces in this order."""
        for item in attachments:
            body = {"Container": task.container_name, "EndpointConfig": endpoint_settings(item)}
            await self._client.call("POST", f"networks/{self._network_name(item.network_id)}/connect", body=body)

    def _path(self, task: Task) -> str:
        """By id when it is known: the name is unknown for tasks whose assignment is gone."""
        known = self._containers.get(task.id)
        return f"containers/{known.id if known else task.container_name}"

    async def _inspect(self, task: Task) -> Mapping[str, Any]:
        """The engine's record of the task's container, and what is worth remembering of it."""
        container: Mapping[str, Any] = await self._client.call("GET", f"{self._path(task)}/json")
        self._remember(task.id, container)
        return container

    def _remember(self, task_id: str, container: Mapping[str, Any]) -> None:
        self._containers[task_id] = _Container(
            container["Id"], status_rules.has_started(container), status_rules.has_healthcheck(container)
        )

    async def _container_of(self, task_id: str) -> Mapping[str, Any]:
        known = self._containers.get(task_id)
        if known is not None:
            container_id = known.id
        else:
            filters = json.dumps({"label": [f"{LABEL_TASK_ID}={task_id}"]})
            listed = await self._client.call("GET", "containers/json", {"all": "1", "filters": filters})
            if not listed:
                raise EngineError(404, f"no container of task {task_id}")
            container_id = listed[0]["Id"]
        container: Mapping[str, Any] = await self._client.call("GET", f"containers/{container_id}/json")
        return container

    async def _wait_end(self, task: Task, watch_health: bool) -> str:
        """Return when the container has ended, or what is wrong with it when it is unhealthy."""
        if watch_health:
            end, sick = await first_ended(self._wait_exit(task), self._wait_health(task, "unhealthy"))
            if end:
                return end.result()
            if sick and _turned(sick, task):
                logger.warning("container is unhealthy", extra={"task_id": task.id})
                return status_rules.UNHEALTHY
        return await self._wait_exit(task)

    async def _wait_exit(self, task: Task) -> str:
        await self._client.call("POST", f"{self._path(task)}/wait", deadline_s=None)
        return ""

    async def _wait_health(self, task: Task, wanted: str) -> None:
        """Return when the container's health is `wanted`; raise `TaskFailed` when it can no longer become so."""
        filters = {"container": [self._path(task).rpartition("/")[2]], "event": ["health_status", "die"]}
        since = f"{self._now() - _EVENTS_OVERLAP_S:.9f}"
        async with self._client.stream("GET", "events", {"filters": json.dumps(filters), "since": since}) as events:
            container = await self._inspect(task)
            health = status_rules.health_of(container)
            if not container["State"]["Running"]:
                raise TaskFailed(status_rules.exit_error(container["State"]["ExitCode"]) or "task: has ended")
            while health != wanted:
                if health == "unhealthy":
                    raise TaskFailed(status_rules.UNHEALTHY)
                health = await _next_health(events)


def _turned(sick: asyncio.Task[None], task: Task) -> bool:
    """Whether the finished watch saw the container turn unhealthy, rather than end or lose sight of it."""
    error = sick.exception()
    if isinstance(error, EngineError):
        logger.warning("health is no longer watched", extra={"task_id": task.id, "error": str(error)})
    return error is None


async def _next_health(events: aiohttp.StreamReader) -> str:
    line = await events.readline()
    if not line:
        raise EngineError(0, "the engine ended its event stream")
    event = json.loads(line)
    if event["Action"] == "die":
        exit_code = int(event["Actor"]["Attributes"].get("exitCode", 0))
        raise TaskFailed(status_rules.exit_error(exit_code) or "task: has ended")
    return str(event["Action"]).removeprefix("health_status: ")


async def _log_payloads(content: aiohttp.StreamReader, tty: bool) -> AsyncIterator[tuple[int, bytes]]:
    demultiplexer = Demultiplexer()
    async for chunk in content.iter_chunked(_LOG_CHUNK_BYTES):
        if tty:
            yield STDOUT, chunk
            continue
        for payload in demultiplexer.feed(chunk):
            yield payload
