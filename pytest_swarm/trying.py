"""Undoing things: every step is tried, whatever became of the ones before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def try_all(message: str, steps: Iterable[Callable[[], object]]) -> None:
    """Take every step. Raises ExceptionGroup, with this message, of what went wrong on the way."""
    errors = []
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - kept, and raised with the others
            errors.append(error)
    if errors:
        raise ExceptionGroup(message, errors)
