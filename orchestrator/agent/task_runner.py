"""One task of this node, from assignment to its end: does what `task_machine` says, one step at a time."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from orchestrator import clock
from orchestrator.agent.readiness import ReadinessGate
from orchestrator.agent.task_machine import INTERRUPTIBLE, Step, next_step
from orchestrator.backoff import Backoff
from orchestrator.duties import first_ended
from orchestrator.interfaces import Engine, TaskFailed, TaskFiles, TaskRejected
from orchestrator.model.files import FilePayload
from orchestrator.model.task import EndpointState, Task, TaskState, TaskStatus
from orchestrator.model.zero_loss import switches_of

logger = logging.getLogger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0
WITHDRAWAL_DEADLINE_S = 20.0
"""How long a stop waits for this node's own balancers, which the managers no longer wait for."""
NETWORK_DEADLINE_S = 30.0
"""How long a task waits for this node to carry its networks before it is rejected."""


class TaskRunner:
    """Runs one task. `run` ends when the task is over and erased or cancelled; `obey` may come at any time."""

    def __init__(
        self,
        task: Task,
        status: TaskStatus,
        *,
        engine: Engine,
        files: TaskFiles,
        payloads: Callable[[], Mapping[str, FilePayload]],
        readiness: ReadinessGate,
        data_plane_reached: Callable[[int], Coroutine[Any, Any, None]],
        networks_carried: Callable[[Task], Coroutine[Any, Any, None]],
        report: Callable[[str, TaskStatus], None],
    ) -> None:
        self.task = task
        self.status = status
        self._engine = engine
        self._files = files
        self._payloads = payloads
        self._readiness = readiness
        self._data_plane_reached = data_plane_reached
        self._networks_carried = networks_carried
        self._report = report
        self._order_changed = asyncio.Event()
        self._released = asyncio.Event()
        """Set when the managers say that nobody needs the container any more."""
        self._note_release(task)
        self._steps: dict[Step, Callable[[], Coroutine[Any, Any, None]]] = {
            Step.PREPARE: self._prepare,
            Step.START: self._start,
            Step.AWAIT_READINESS: self._await_readiness,
            Step.AWAIT_EXIT: self._await_exit,
            Step.STOP: self._stop,
            Step.REST: self._rest,
        }

    def obey(self, task: Task) -> None:
        """Take a newer copy of the assignment."""
        changed = task.ordered_state is not self.task.ordered_state
        self.task = task
        self._note_release(task)
        if changed:
            self._order_changed.set()

    async def run(self) -> None:
        """Step until cancelled."""
        backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        while True:
            self._order_changed.clear()
            step = next_step(self.status.state, self.task.ordered_state)
            try:
                if self.status.still_runs:
                    await self._stop_once_released()
                await self._interruptible(step) if step in INTERRUPTIBLE else await self._steps[step]()
            except TaskFailed as failure:
                await self._fail(failure)
            except OSError as error:
                # What the engine cannot say or do now it may in a moment; until then nothing is known of the task.
                logger.warning("the engine does not answer task=%s step=%s error=%s", self.task.id, step, error)
                await asyncio.sleep(backoff.next())
                continue
            except Exception as bug:
                # One task's surprise must not end the node's other tasks.
                logger.exception("unexpected failure of a task task=%s", self.task.id)
                await self._fail(TaskFailed(f"internal error: {bug}"))
            backoff.reset()

    async def erase(self) -> None:
        """End the container however it stands and remove it. Call after `run` was cancelled."""
        await self._engine.stop(self.task)
        self._files.erase(self.task.id)
        await self._engine.remove(self.task)

    async def _interruptible(self, step: Step) -> None:
        doing, _ = await first_ended(self._steps[step](), self._order_changed.wait())
        if doing:
            doing.result()

    async def _prepare(self) -> None:
        self._observe(TaskState.PREPARING, "preparing")
        # What may take minutes ends when the task is to stop: the one that follows it waits for that.
        gathered, _ = await first_ended(self._gather(), self._stop_ordered())
        if gathered is None:
            return
        gathered.result()
        container_id = await self._engine.prepare(self.task)
        self.status = replace(self.status, container_id=container_id)
        self._observe(TaskState.READY, "prepared")

    async def _gather(self) -> None:
        """All that the container is made of."""
        try:
            async with asyncio.timeout(NETWORK_DEADLINE_S):
                await self._networks_carried(self.task)
        except TimeoutError:
            raise TaskRejected(f"the node does not carry the task's networks after {NETWORK_DEADLINE_S:g}s") from None
        self._files.write(self.task, self._payloads())
        await self._engine.pull(self.task)

    async def _stop_ordered(self) -> None:
        while next_step(self.status.state, self.task.ordered_state) is not Step.STOP:
            await self._order_changed.wait()
            self._order_changed.clear()

    async def _start(self) -> None:
        self._observe(TaskState.STARTING, "starting")
        started = await self._engine.start(self.task)
        self._put_status(replace(started, state=TaskState.STARTING, message="starting", at=clock.now()))

    async def _await_readiness(self) -> None:
        exited, ready = await first_ended(
            self._engine.wait_exit(self.task), self._readiness.wait(self.task, self.status.process_id)
        )
        if exited:
            self._end(exited.result())
        elif ready:
            ready.result()
            self._observe(TaskState.RUNNING, "started")

    async def _await_exit(self) -> None:
        self._end(await self._engine.wait_exit(self.task))

    async def _stop_once_released(self) -> None:
        """Stop a task that failed by its health: it still answers, and so is drained like one stopped by plan."""
        timeout_s = WITHDRAWAL_DEADLINE_S + switches_of(self.task.labels).drain_timeout
        ended, released = await first_ended(
            self._engine.wait_exit(self.task, watch_health=False), self._released.wait(), timeout_s=timeout_s
        )
        if ended:
            ended.result()
        elif not released:
            logger.warning("stopping a failed task that was not released in %gs task=%s", timeout_s, self.task.id)
        await self._stop_unbalanced()
        self._put_status(replace(self.status, still_runs=False, process_id=0, host_ports=()))

    async def _stop(self) -> None:
        await self._stop_unbalanced()
        self._observe(TaskState.SHUTDOWN, "shutdown")

    async def _stop_unbalanced(self) -> None:
        # After a time without managers one message may bring both the stop and the news for this node's balancers.
        try:
            async with asyncio.timeout(WITHDRAWAL_DEADLINE_S):
                await self._data_plane_reached(self.task.withdrawn_revision)
        except TimeoutError:
            logger.warning("stopping a task that this node may still balance to task=%s", self.task.id)
        await self._engine.stop(self.task)

    async def _rest(self) -> None:
        await asyncio.Event().wait()

    async def _fail(self, failure: TaskFailed) -> None:
        rejected = isinstance(failure, TaskRejected) or self.status.state < TaskState.STARTING
        logger.warning("task failed task=%s error=%s", self.task.id, failure)
        if not rejected:
            try:
                await self._engine.stop(self.task)
            except OSError as error:
                logger.error("a failed task may still run task=%s error=%s", self.task.id, error)
        state = TaskState.REJECTED if rejected else TaskState.FAILED
        self.status = replace(self.status, error=str(failure), still_runs=False)
        self._observe(state, "preparing" if rejected else "starting")

    def _end(self, ending: TaskStatus) -> None:
        self.status = replace(self.status, error=ending.error, exit_code=ending.exit_code, still_runs=ending.still_runs)
        if not ending.still_runs:
            self.status = replace(self.status, process_id=0, host_ports=())
        self._observe(ending.state, ending.message)

    def _note_release(self, task: Task) -> None:
        if task.endpoint is EndpointState.RELEASED:
            self._released.set()

    def _observe(self, state: TaskState, message: str) -> None:
        if state.is_terminal:
            self._files.erase(self.task.id)
        self._put_status(replace(self.status, state=state, message=message, at=clock.now()))

    def _put_status(self, status: TaskStatus) -> None:
        self.status = status
        self._report(self.task.id, status)
