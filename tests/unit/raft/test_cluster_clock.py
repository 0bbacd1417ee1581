"""The cluster's time as one manager knows it."""

import pytest

from orchestrator.raft.cluster_clock import SLEW, ClusterClock


class Machine:
    """A machine's two clocks, an hour apart at will."""

    def __init__(self) -> None:
        self.passed = 100.0
        self.set_by = 0.0
        self.clock = ClusterClock(lambda: 1_000_000.0 + self.passed + self.set_by, lambda: self.passed)

    def spend(self, seconds: float) -> float:
        """How long that was by the cluster's time."""
        before = self.clock.now()
        self.passed += seconds
        return self.clock.now() - before


def test_it_is_the_machines_own_until_somebody_leads() -> None:
    machine = Machine()
    assert machine.clock.now() == 1_000_100.0
    assert machine.spend(5.0) == pytest.approx(5.0)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_is_set_bends_it_a_little(step: float) -> None:
    machine = Machine()
    machine.set_by = step
    assert machine.spend(0.0) == 0.0
    assert machine.spend(60.0) == pytest.approx(60.0, rel=SLEW)
    # In the end the machine was right.
    machine.spend(3600.0 / SLEW)
    assert machine.clock.now() == pytest.approx(1_000_000.0 + machine.passed + step)


def test_it_is_made_up_for_exactly() -> None:
    machine = Machine()
    machine.set_by = 1.0
    assert machine.spend(1.0 / SLEW) == pytest.approx(1.0 / SLEW + 1.0)
    assert machine.spend(10.0) == pytest.approx(10.0)


def test_the_leaders_counts_in_both_directions() -> None:
    machine = Machine()
    for time in (2_000_000.0, 5.0):
        machine.clock.hear(time)
        assert machine.clock.now() == time
        assert machine.spend(1.0) == pytest.approx(1.0, rel=1.01 * SLEW)


def test_what_was_committed_is_past() -> None:
    machine = Machine()
    machine.clock.pass_by(5.0)
    assert machine.clock.now() == 1_000_100.0
    machine.clock.pass_by(1_000_900.0)
    assert machine.clock.now() == 1_000_900.0
