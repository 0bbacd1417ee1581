"""Shared by the simulations."""

from collections.abc import Callable, Iterator

import pytest

from orchestrator.testing.simulated_raft import SimulatedManagers


@pytest.fixture
def managers() -> Iterator[Callable[[int], SimulatedManagers]]:
    opened = []

    def start(seed: int) -> SimulatedManagers:
        simulation = SimulatedManagers(seed)
        context = simulation.running()
        context.__enter__()
        opened.append(context)
        return simulation

    yield start
    for context in opened:
        context.__exit__(None, None, None)
