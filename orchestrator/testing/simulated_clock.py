"""Time that moves only when told: events run in the order of their times, at once."""

import heapq
from collections.abc import Callable
from itertools import count


class SimulatedClock:
    """A queue of things to happen. Equal times run in the order they were asked for, so a run can be repeated."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self.now = start
        """Seconds since the epoch."""
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def call_at(self, time: float, callback: Callable[[], None]) -> None:
        """Run `callback` at `time`, or next if that has passed."""
        heapq.heappush(self._events, (max(time, self.now), next(self._order), callback))

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        """Run `callback` in `delay` seconds."""
        self.call_at(self.now + delay, callback)

    def run_until(self, end: float) -> None:
        """Let time pass up to `end`, with all that happens by then."""
        while self._events and self._events[0][0] <= end:
            self.now, _, callback = heapq.heappop(self._events)
            callback()
        self.now = end
