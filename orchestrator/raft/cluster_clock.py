"""The cluster's time: one for all managers, which goes on evenly whatever is done to the clock of a machine.

Waits that outlive a leader are measured against times in the replicated state. By the machines' own clocks a leader
whose clock is set an hour ahead would cut off every drain, and its successor would then wait that hour. So the leader's
time counts for all: it goes on by its monotonic clock, is sent with each heartbeat, and is where a successor goes on.
Only when all managers start anew does a machine's own clock say what time it is.
"""

from collections.abc import Callable

from orchestrator import clock

SLEW = 0.05
"""By how much the cluster's seconds may be longer or shorter than true ones while the time comes round to that of the
leader's machine, as `adjtime(3)` does it: an hour is made up for in a day."""


class ClusterClock:
    """The time as one manager knows it. `wall` and `monotonic` are its machine's clocks, in seconds."""

    def __init__(self, wall: Callable[[], float] = clock.now, monotonic: Callable[[], float] = clock.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._time = wall()
        self._read_at = monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        read_at = self._monotonic()
        elapsed = read_at - self._read_at
        self._read_at = read_at
        wrong_by = self._wall() - (self._time + elapsed)
        self._time += elapsed + max(-SLEW * elapsed, min(wrong_by, SLEW * elapsed))
        return self._time

    def hear(self, time: float) -> None:
        """The leader says what time it is."""
        self._time = time
        self._read_at = self._monotonic()

    def pass_by(self, time: float) -> None:
        """Something was committed for this time: it is not earlier."""
        self._time = max(self.now(), time)
