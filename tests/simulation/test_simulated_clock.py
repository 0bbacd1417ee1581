"""The simulation's own clock."""

from orchestrator.testing.simulated_clock import SimulatedClock
from tests.simulation.histories import History


def test_events_run_in_the_order_of_their_times_and_then_of_the_calls() -> None:
    clock = SimulatedClock(start=0.0)
    seen: list[tuple[float, str]] = []
    clock.call_later(2.0, lambda: seen.append((clock.now, "late")))
    clock.call_later(1.0, lambda: seen.append((clock.now, "first")))
    clock.call_at(1.0, lambda: seen.append((clock.now, "second")))
    clock.run_until(1.5)
    assert (seen, clock.now) == ([(1.0, "first"), (1.0, "second")], 1.5)
    clock.run_until(3.0)
    assert seen[-1] == (2.0, "late")


def test_a_seed_repeats_its_history() -> None:
    first, second = History(5), History(5)
    assert first.run() == second.run()
    assert first.cluster.invariants.log == second.cluster.invariants.log
