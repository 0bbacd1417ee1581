"""The file descriptors of PySyncObj behind a single one that an event loop can watch.

PySyncObj's own pollers block in its tick and look at the sockets last, after the election timer. Here the event loop
wakes us when the epoll descriptor is readable, and what has arrived is handled *before* the timers are judged: a
manager that was held up finds the heartbeats that piled up meanwhile first, and does not depose a healthy leader.
"""

import select
from collections.abc import Callable
from contextlib import suppress

from pysyncobj.poller import POLL_EVENT_TYPE, Poller

Callback = Callable[[int, int], None]


class EpollPoller(Poller):  # type: ignore[misc]  # the library has no types
    """Level-triggered epoll; `dispatch` is called by whoever watches `fileno`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}

    def fileno(self) -> int:
        """The descriptor that is readable while any watched one has something to say."""
        return self._epoll.fileno()

    def subscribe(self, descr: int, callback: Callback, eventMask: int) -> None:
        """Watch a descriptor, or watch it for something else. Called by PySyncObj."""
        events = select.EPOLLIN if eventMask & POLL_EVENT_TYPE.READ else 0
        events |= select.EPOLLOUT if eventMask & POLL_EVENT_TYPE.WRITE else 0
        self._callbacks[descr] = callback
        try:
            self._epoll.modify(descr, events)
        except FileNotFoundError:
            self._epoll.register(descr, events)

    def await_writable(self, descriptor: int) -> None:
        """Watch a subscribed connection for room to write as well; PySyncObj takes it back when all is sent."""
        if descriptor in self._callbacks:
            self._epoll.modify(descriptor, select.EPOLLIN | select.EPOLLOUT)

    def unsubscribe(self, descr: int) -> None:
        """Watch a descriptor no longer. Called by PySyncObj."""
        self._callbacks.pop(descr, None)
        # PySyncObj closes a socket before it says so here; the kernel has then forgotten it already.
        with suppress(OSError):
            self._epoll.unregister(descr)

    def poll(self, timeout: float) -> None:
        """Nothing: PySyncObj calls this at the end of its tick, and `dispatch` has gone before."""

    def dispatch(self) -> None:
        """Hand what is ready now to PySyncObj's callbacks. Never blocks."""
        for descriptor, events in self._epoll.poll(0):
            callback = self._callbacks.get(descriptor)
            if callback is None:
                continue
            mask = POLL_EVENT_TYPE.READ if events & select.EPOLLIN else 0
            mask |= POLL_EVENT_TYPE.WRITE if events & select.EPOLLOUT else 0
            mask |= POLL_EVENT_TYPE.ERROR if events & (select.EPOLLERR | select.EPOLLHUP) else 0
            callback(descriptor, mask)

    def close(self) -> None:
        """Give the descriptor back."""
        self._callbacks.clear()
        self._epoll.close()
