"""The one polling loop: every wait of the plugin has a deadline, and a late one says what it last saw."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Done(Generic[Value]):
    """The awaited thing is there."""

    value: Value


@dataclasses.dataclass(frozen=True)
class NotYet:
    """The awaited thing is not there, and why."""

    reason: str


class DeadlineExceeded(Exception):
    """A condition did not come true in time; the message ends with the last reason."""


Condition = Callable[[], Done[Value] | NotYet]


def wait_until(
    condition: Condition[Value],
    *,
    what: str,
    timeout: float,
    interval: float = 0.1,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Value:
    """Poll `condition` every `interval` seconds and return its value.

    Raises DeadlineExceeded after `timeout` seconds, naming `what` was awaited and the last reason it was not there.
    """
    deadline = clock() + timeout
    while True:
        answer = condition()
        if isinstance(answer, Done):
            return answer.value
        if clock() >= deadline:
            raise DeadlineExceeded(f"{what}: not within {timeout:g} s; last seen: {answer.reason}")
        sleep(interval)
