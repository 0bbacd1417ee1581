"""Clusters of gossiping nodes under loss, cuts and stalls, each from many seeds."""

import statistics

import pytest

from orchestrator.network.gossip_message_rules import Standing
from orchestrator.testing.simulated_gossip import SimulatedGossip
from tests.simulation.seeds import seeds

DEADLINE_S = 30.0
SETTLED_S = 3.0


def settled(size: int, seed: int, *, loss: float = 0.0) -> SimulatedGossip:
    """A cluster in which every node has met every other."""
    world = SimulatedGossip(size, seed)
    world.run(SETTLED_S if size <= 8 else 2 * SETTLED_S)
    assert world.verdicts == []
    world.loss = loss
    return world


def deaths(world: SimulatedGossip) -> list[tuple[float, str, str]]:
    return [(when, by, of) for when, by, of, standing in world.verdicts if standing is Standing.DEAD]


@pytest.mark.parametrize(
    ("size", "median", "worst"), [(4, 1.0, 1.8), pytest.param(16, 1.1, 2.0, marks=pytest.mark.soak)]
)
def test_seconds_until_all_know_of_a_death(size: int, median: float, worst: float) -> None:
    seconds = []
    for seed in seeds(40):
        world = settled(size, seed)
        world.run(world.random.random())
        world.kill("n1")
        seconds.append(world.run_until(lambda w=world: len(w.holders("n1")) == len(w.nodes), DEADLINE_S))  # type: ignore[misc]
    print(f"{size} nodes: median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s")  # noqa: T201
    assert statistics.median(seconds) < median
    assert max(seconds) < worst


@pytest.mark.parametrize(
    ("size", "loss", "bearable"),
    [
        (4, 0.05, 0),
        (4, 0.1, 0),
        pytest.param(16, 0.05, 0, marks=pytest.mark.soak),
        pytest.param(16, 0.1, 1, marks=pytest.mark.soak),
    ],
)
def test_lost_datagrams_are_hardly_ever_taken_for_deaths(size: int, loss: float, bearable: int) -> None:
    found = 0
    for seed in range(10):
        world = settled(size, seed, loss=loss)
        world.run(60.0)
        found += len(deaths(world))
        world.loss = 0.0
        world.run(5.0)
        assert all(not node.dead for node in world.nodes.values())
    assert found <= bearable


def test_nodes_that_often_come_late_are_not_held_dead() -> None:
    for seed in range(20):
        world = settled(4, seed)

        def stall(name: str, world: SimulatedGossip) -> None:
            world.stop(name, min(0.4, world.random.expovariate(1 / 0.08)))
            world.at(world.now + world.random.expovariate(1 / 0.15), lambda: stall(name, world))

        for name in world.names:
            stall(name, world)
        world.run(60.0)
        assert deaths(world) == [], seed


def test_a_node_that_runs_only_in_bursts_accuses_nobody_to_death() -> None:
    for seed in range(20):
        world = settled(4, seed)

        def stall(world: SimulatedGossip) -> None:
            world.stop("n0", 2.0)
            world.at(world.now + 2.3, lambda: stall(world))

        stall(world)
        world.run(60.0)
        assert [death for death in deaths(world) if death[2] != "n0"] == [], seed


def test_a_stopped_node_is_held_dead_and_comes_back_without_accusing_others() -> None:
    for seed in range(20):
        world = settled(4, seed)
        world.stop("n0", 10.0)
        assert world.run_until(lambda w=world: len(w.holders("n0")) == 3, DEADLINE_S) < 2.0  # type: ignore[misc]
        world.run(world.stopped["n0"] - world.now)
        assert world.run_until(lambda w=world: not w.holders("n0"), DEADLINE_S) < 1.5  # type: ignore[misc]
        world.run(5.0)
        assert {of for _, _, of in deaths(world)} == {"n0"}


def test_two_that_cannot_reach_each_other_are_kept_alive_by_the_others() -> None:
    for seed in range(20):
        world = settled(4, seed)
        world.isolate("n0", ["n1"])
        world.run(30.0)
        # Not even suspected: helpers reach them.
        assert world.verdicts == [], seed


def test_one_way_to_one_node_changes_nothing() -> None:
    for seed in range(20):
        world = settled(4, seed)
        world.cut = {("n0", "n1")}
        world.run(30.0)
        assert world.verdicts == [], seed


@pytest.mark.parametrize("hears", [True, False])
def test_one_that_only_hears_or_only_speaks_is_dead_to_the_others(hears: bool) -> None:
    for seed in range(20):
        world = settled(4, seed)
        world.cut = {("n0", other) if hears else (other, "n0") for other in world.names}
        world.run_until(lambda w=world: len(w.holders("n0")) == 3, DEADLINE_S)  # type: ignore[misc]
        world.run(10.0)
        # Whoever only speaks accuses everybody, and is refuted.
        assert len(world.holders("n0")) == 3
        assert all(node.dead <= {"n0"} for name, node in world.nodes.items() if name != "n0")
        world.cut.clear()
        healed = world.run_until(lambda w=world: not any(n.dead for n in w.nodes.values()), DEADLINE_S)  # type: ignore[misc]
        assert healed < 6.0


def test_both_sides_of_a_healed_partition_find_each_other() -> None:
    for seed in range(10):
        world = settled(6, seed)
        for name in ("n0", "n1"):
            world.isolate(name, ["n2", "n3", "n4", "n5"])
        world.run(10.0)
        assert world.nodes["n0"].dead == {"n2", "n3", "n4", "n5"}
        assert world.nodes["n5"].dead == {"n0", "n1"}
        world.cut.clear()
        healed = world.run_until(lambda w=world: not any(n.dead for n in w.nodes.values()), DEADLINE_S)  # type: ignore[misc]
        assert healed < 4.0


def test_recorded_messages_change_nothing() -> None:
    world = settled(4, 1)
    world.keeps_delivered = True
    world.stop("n0", 5.0)
    world.run(12.0)
    world.keeps_delivered = False
    recorded = list(world.delivered)
    assert any(update.standing is Standing.DEAD for _, message in recorded for update in message.updates)
    world.start("n2")
    world.run(SETTLED_S)
    world.verdicts.clear()
    dropped = {world.inject(to, message).dropped for to, message in recorded}
    world.run(5.0)
    assert dropped <= {"replayed", "unproven", ""}
    assert "replayed" in dropped
    assert deaths(world) == []


def test_a_cluster_of_a_hundred_learns_of_ten_deaths() -> None:
    world = settled(100, 1)
    world.run(20.0)
    victims = world.names[:10]
    for name in victims:
        world.kill(name)
    took = world.run_until(lambda: all(node.dead == set(victims) for node in world.nodes.values()), DEADLINE_S)
    assert took < 10.0
    assert {of for _, _, of in deaths(world)} == set(victims)
