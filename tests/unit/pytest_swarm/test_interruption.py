"""SIGTERM ends a session as Ctrl-C does, and only while there is a cluster to remove."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from pytest_swarm.interruption import sigterm_as_interrupt


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    """Python's own start: a cluster of this session, or whoever started pytest, may have set another handler."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_signal_interrupts_inside_and_is_given_back() -> None:
    with pytest.raises(KeyboardInterrupt, match="received SIGTERM"), sigterm_as_interrupt():
        signal.raise_signal(signal.SIGTERM)

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_another_handler_stays() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with sigterm_as_interrupt():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert seen == [signal.SIGTERM]


def test_another_thread_changes_nothing() -> None:
    handlers: list[object] = []

    def look() -> None:
        with sigterm_as_interrupt():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(timeout=5)

    assert handlers == [signal.SIG_DFL]
