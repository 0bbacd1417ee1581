"""Random histories of a whole cluster, with everything ARCHITECTURE.md promises checked after every step."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.simulation.histories import lived, trouble_in
from tests.simulation.seeds import seeds

HISTORIES = seeds(100)
CHUNK = 10
PUT_TO_THE_TEST = (
    *("replicated service", "global service", "replicated-job service", "global-job service"),
    *("update completed", "update paused", "update rollback_completed", "rollback by hand", "rollback by failure"),
    *("node drain", "node pause", "insufficient resources", "scheduling constraints", "RemoveService", "LoseTask"),
)
"""What the promises are about: each happens as often as in one history of twenty, at least."""


def test_random_histories() -> None:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        told = list(pool.map(lived, HISTORIES, chunksize=CHUNK))
    found = [trouble for trouble, _ in told if trouble]
    assert not found, f"{len(found)} of {len(HISTORIES)} histories broke a promise, the first:\n" + "\n".join(found[:5])
    seen = sum((happened for _, happened in told), Counter())
    assert {kind: seen[kind] for kind in PUT_TO_THE_TEST if seen[kind] < len(HISTORIES) // 20} == {}


@pytest.mark.skipif("SIMULATION_SEED" not in os.environ, reason="repeats the history of SIMULATION_SEED")
def test_one_history() -> None:
    assert trouble_in(int(os.environ["SIMULATION_SEED"])) == ""
