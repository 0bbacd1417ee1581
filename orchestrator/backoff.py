"""Growing pauses between attempts at something that may work in a moment."""


class Backoff:
    """`next` gives the seconds to pause: twice as many each time, up to the longest; `reset` after a success."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._pause = first

    def next(self) -> float:
        """Seconds to pause now."""
        pause, self._pause = self._pause, min(2 * self._pause, self._longest)
        return pause

    def reset(self) -> None:
        """Begin anew."""
        self._pause = self._first
