"""Background work that must not die silently."""

import asyncio
from collections.abc import Coroutine
from typing import Any

CRASHED = "crashed duty"
"""Key in the context of the loop's exception handler. The daemon ends on it: half a node is worse than a restart."""


def start_duty(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run the work as a task; should it crash, the loop's exception handler is told, with its name under `CRASHED`."""
    duty = asyncio.create_task(work, name=name)
    duty.add_done_callback(_report_crash)
    return duty


async def end_duties(*duties: asyncio.Task[None]) -> None:
    """Cancel the tasks and wait until they have ended."""
    for duty in duties:
        duty.cancel()
    await asyncio.gather(*duties, return_exceptions=True)


def _report_crash(duty: asyncio.Task[None]) -> None:
    if not duty.cancelled() and duty.exception() is not None:
        context = {"message": f"{duty.get_name()} crashed", "exception": duty.exception(), CRASHED: duty.get_name()}
        duty.get_loop().call_exception_handler(context)
