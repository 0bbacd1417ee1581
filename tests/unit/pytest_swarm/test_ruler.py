"""The ruler is true: a known few faults among thousands of requests are exactly what the ledger finds.

The small measure is for the gate, the large one for the soak; the open load has fewer requests, because it lasts as
long as its schedule. All four with 10,000, and what other clients count, are in tests/benchmarks/test_ruler.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.pytest_swarm.ruler import CLASSES, KINDS_ON_FRESH_CONNECTIONS, measure

CONNECTIONS = pytest.mark.parametrize("keep_alive", [False, True], ids=["fresh", "keep-alive"])


@CONNECTIONS
@pytest.mark.parametrize(
    ("requests", "rate"),
    [
        pytest.param(1_000, None, id="closed-small"),
        pytest.param(10_000, None, id="closed", marks=pytest.mark.soak),
        pytest.param(2_500, 250.0, id="open", marks=pytest.mark.soak),
    ],
)
def test_the_ledger_finds_exactly_what_was_planted(
    tmp_path: Path, requests: int, rate: float | None, keep_alive: bool
) -> None:
    ledger, sent_once = measure(tmp_path, requests, rate, keep_alive=keep_alive)

    answered = requests - sum(CLASSES.values())
    found = {name: count for name, count in ledger.counts.items() if count}
    assert found == {**CLASSES, "answered": answered}
    assert sent_once
    if not keep_alive:
        assert ledger.kinds == KINDS_ON_FRESH_CONNECTIONS
