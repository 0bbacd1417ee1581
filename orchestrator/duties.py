"""Background work that must not die silently."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar, overload

First = TypeVar("First")
Second = TypeVar("Second")

CRASHED = "crashed duty"
"""Key in the context of the loop's exception handler. The daemon ends on it: half a node is worse than a restart."""


def start_duty(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run the work as a task; should it crash, the loop's exception handler is told, with its name under `CRASHED`."""
    duty = asyncio.create_task(work, name=name)
    duty.add_done_callback(_report_crash)
    return duty


async def end_duties(*duties: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait until they have ended."""
    for duty in duties:
        duty.cancel()
    await asyncio.gather(*duties, return_exceptions=True)


@overload
async def first_ended(
    first: Coroutine[Any, Any, First], second: Coroutine[Any, Any, Second], /, *, timeout_s: float | None = None
) -> tuple[asyncio.Task[First] | None, asyncio.Task[Second] | None]: ...


@overload
async def first_ended(
    *works: Coroutine[Any, Any, First], timeout_s: float | None = None
) -> Sequence[asyncio.Task[First] | None]: ...


async def first_ended(
    *works: Coroutine[Any, Any, Any], timeout_s: float | None = None
) -> Sequence[asyncio.Task[Any] | None]:
    """Run the works side by side until one has ended, or for so many seconds; the others are cancelled and awaited.

    Returns, in the order of the works, each one's task if it ended by itself, else None. What a work raised is in
    its task: ask for the `result` of every one whose failure matters.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        ended, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_duties(*tasks)
    return tuple(task if task in ended else None for task in tasks)


def _report_crash(duty: asyncio.Task[None]) -> None:
    if not duty.cancelled() and duty.exception() is not None:
        context = {"message": f"{duty.get_name()} crashed", "exception": duty.exception(), CRASHED: duty.get_name()}
        duty.get_loop().call_exception_handler(context)
