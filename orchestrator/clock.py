"""The only reader of clocks."""

import time


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def monotonic() -> float:
    """Seconds since some moment; unlike the time of day nobody sets it."""
    return time.monotonic()
