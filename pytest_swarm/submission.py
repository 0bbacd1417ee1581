"""Asking a cluster for a change, in which something else may be changing or going down at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pytest_swarm.waiting import Done, NotYet, wait_until

T = TypeVar("T")

# Our version was old, for the cluster itself writes too as an update goes on; or a new leader is being elected.
_PASSING_REFUSALS = ("out of sequence", "does not have a leader")


def submit(request: Callable[[], T], *, what: str, timeout: float) -> T:
    """Make the request again until it is accepted; returns what it returned.

    Raises docker.errors.APIError when it is refused for good, DeadlineExceeded after `timeout` seconds.
    """
    from docker.errors import APIError

    def attempt() -> Done[T] | NotYet:
        try:
            return Done(request())
        except APIError as error:
            if not any(reason in str(error.explanation) for reason in _PASSING_REFUSALS):
                raise
            return NotYet(str(error.explanation))
        except OSError as error:  # the manager was killed as it was asked; the next attempt asks another one
            return NotYet(str(error))

    return wait_until(attempt, what=f"{what} to be accepted", timeout=timeout)
