"""The API over fakes on a real unix socket, for clients that bring their own HTTP."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from orchestrator.api.app import create_app
from orchestrator.model.task import NetworkAttachment, Task, TaskState, TaskStatus
from orchestrator.state import actions as act
from orchestrator.testing.cluster_backend import FakeClusterBackend, FakeEngineClient, FakeLifecycle


@contextmanager
def served(lifecycle: FakeLifecycle, socket: Path) -> Iterator[str]:
    """Serve in a thread on the socket; yields its URL."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(create_app(lifecycle, lifecycle.cluster, FakeEngineClient()), shutdown_timeout=1)

    async def start() -> None:
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"unix://{socket}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        loop.close()


def run_tasks(backend: FakeClusterBackend) -> None:
    """Do what the deciders and agents would: as many running tasks as each replicated service wants."""
    ingress = backend.state.ingress
    assert ingress is not None
    assert backend.leader_node_id is not None
    for service in list(backend.state.services.values()):
        tasks = [task for task in backend.state.tasks_of_service(service.id) if task.is_wanted]
        filled = {task.slot for task in tasks}
        for slot in range(1, service.spec.desired_replicas + 1):
            if slot in filled:
                continue
            task = Task(backend.new_id(), service.id, service.name, slot, service.spec.task, service.spec_version)
            backend.apply(
                act.CreateTask(task),
                act.AllocateTask(task.id, (NetworkAttachment(ingress.id, f"10.0.0.{10 + slot}"),)),
                act.AssignTask(task.id, backend.leader_node_id),
            )
            status = TaskStatus(
                TaskState.RUNNING, "started", at=backend.time, container_id=task.id * 2, process_id=4000 + slot
            )
            backend.apply(act.ReportTaskStatus(task.id, status))
        for task in tasks[service.spec.desired_replicas :]:
            backend.apply(act.SetDesiredState(task.id, TaskState.REMOVE))
