"""How many examples a property is tried with: few in the gate, more of the same with `FUZZ_TIMES`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))


def bounded(examples: int) -> settings:
    """So many examples, or `FUZZ_TIMES` as many; the same ones in every run, however long one takes."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
