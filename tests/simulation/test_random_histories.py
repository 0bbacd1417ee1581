"""Random histories of a whole cluster, with everything ARCHITECTURE.md promises checked after every step."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.simulation.histories import trouble_in
from tests.simulation.seeds import seeds

HISTORIES = seeds(100)
CHUNK = 10


def test_random_histories() -> None:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = [trouble for trouble in pool.map(trouble_in, HISTORIES, chunksize=CHUNK) if trouble]
    assert not found, f"{len(found)} of {len(HISTORIES)} histories broke a promise, the first:\n" + "\n".join(found[:5])


@pytest.mark.skipif("SIMULATION_SEED" not in os.environ, reason="repeats the history of SIMULATION_SEED")
def test_one_history() -> None:
    assert trouble_in(int(os.environ["SIMULATION_SEED"])) == ""
