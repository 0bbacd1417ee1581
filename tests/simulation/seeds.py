"""How many seeds a test is tried with: few in the gate, more of the same with `SIMULATION_TIMES`."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("SIMULATION_TIMES", "1"))


def seeds(count: int) -> range:
    """So many seeds, or `SIMULATION_TIMES` as many; the first ones are always the same."""
    return range(count * TIMES)
