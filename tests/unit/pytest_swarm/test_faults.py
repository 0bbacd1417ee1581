"""Faults begin, end and stand in the books as they should, whoever ends them."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_swarm import fault
from pytest_swarm import faults as faults_module
from pytest_swarm.faults import Faults
from pytest_swarm.node import Node
from pytest_swarm.phases import Operation
from pytest_swarm.waiting import Done, NotYet, wait_until


class Container:
    """A node's container that keeps count of what is done to it; `refuses` lets the next commands fail."""

    def __init__(self, name: str, deeds: list[str]) -> None:
        self.name = name
        self.refuses = ""
        self.process = 100
        self.has_clock = False
        self._deeds = deeds

    def kill(self) -> None:
        self._do("killed")

    def start(self) -> None:
        self._do("started")

    def pause(self) -> None:
        self._do("paused")

    def unpause(self) -> None:
        self._do("resumed")

    def wait(self, timeout: float) -> None:
        pass

    def exec_run(self, command: list[str]) -> tuple[int, bytes]:
        match command:
            case ["pgrep", *_]:
                return 0, str(self.process).encode()
            case ["kill", signal, process] if process == str(self.process):
                self._do(f"process got {signal}")
                self.process += 1
            case ["grep", *_]:
                return (0 if self.has_clock else 1), b""
            case ["nft", rules]:
                self._do("cut" if "drop" in rules else "rejoined")
            case ["bash", "-c", _, "bash", "/var/lib/swarm-clock", offset]:
                self._do(f"clock {offset}")
                self.has_clock = True
            case ["bash", *_, directory, "filler"]:
                self._do(f"{directory} filled")
            case ["rm", "-f", file]:
                self._do(f"{file} removed")
            case _:
                self._do(" ".join(command))
        return 0, b""

    def _do(self, deed: str) -> None:
        self._deeds.append(f"{self.name} {deed}")
        if deed == self.refuses:
            raise RuntimeError(f"{self.name} cannot be {deed}")


class FakeCluster:
    """Four nodes, three of them managers; `waits` counts how often the whole was waited for."""

    def __init__(self) -> None:
        self.deeds: list[str] = []
        self.operations: list[Operation] = []
        self.waits = 0
        self.managers = 3
        self.engine = SimpleNamespace(name="orchestrator", boot_command=lambda: None, state_directory=lambda: "/state")
        self.nodes = [_node(f"n{number}", self.deeds) for number in range(1, 5)]
        self.leader = self.nodes[1]
        self.api = SimpleNamespace(tasks=list)

    def node(self, name: str | Node) -> Node:
        return name if isinstance(name, Node) else {node.name: node for node in self.nodes}[name]

    def node_ids(self) -> dict[str, str]:
        return {node.name: f"id of {node.name}" for node in self.nodes}

    def wait_ready(self, timeout: float) -> None:
        self.waits += 1


class FakeNode(Node):
    """A node whose API always answers."""

    def answers(self) -> Done[None] | NotYet:
        return Done(None)

    def knows_leader(self) -> Done[None] | NotYet:
        return Done(None)


def _node(name: str, deeds: list[str]) -> Node:
    return FakeNode(name, Container(name, deeds), f"10.0.0.{name[1:]}", socket=None)  # type: ignore[arg-type]


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def faults(cluster: FakeCluster) -> Faults:
    return Faults(cluster)  # type: ignore[arg-type]


def test_a_fault_lasts_as_long_as_its_block(cluster: FakeCluster, faults: Faults) -> None:
    with faults.kill("n2") as fault:
        assert cluster.deeds == ["n2 killed"]
        assert cluster.operations == [Operation("n2 killed", fault.started, math.inf, is_fault=True, killed=("n2",))]
        assert cluster.nodes[1].is_down

    assert cluster.deeds[1] == "n2 started"
    assert cluster.operations == [Operation("n2 killed", fault.started, fault.finished, is_fault=True, killed=("n2",))]
    assert not cluster.nodes[1].is_down
    assert cluster.waits == 1


def test_a_block_that_fails_heals_all_the_same(cluster: FakeCluster, faults: Faults) -> None:
    with pytest.raises(AssertionError), faults.isolate("n1"):
        raise AssertionError

    assert sorted(cluster.deeds[-4:]) == ["n1 rejoined", "n2 rejoined", "n3 rejoined", "n4 rejoined"]
    assert faults.active == ()


def test_the_cluster_is_waited_for_once_all_is_healed(cluster: FakeCluster, faults: Faults) -> None:
    first, second = faults.kill("n1"), faults.kill("n2")
    first.heal()
    assert cluster.waits == 0

    second.heal()
    second.heal()
    faults.heal()

    assert cluster.waits == 1
    assert cluster.deeds.count("n2 started") == 1


def test_healing_goes_on_past_what_cannot_be_healed(cluster: FakeCluster, faults: Faults) -> None:
    broken = cluster.nodes[3].container
    broken.refuses = "started"
    faults.kill("n4")
    faults.pause("n2")

    with pytest.raises(ExceptionGroup) as caught:
        faults.heal()

    assert [str(error) for error in caught.value.exceptions] == ["n4 cannot be started"]
    assert [fault.name for fault in faults.active] == ["n4 killed"]
    assert "n2 resumed" in cluster.deeds
    broken.refuses = ""
    faults.heal()
    assert faults.active == ()


def test_a_fault_that_could_not_begin_is_none(cluster: FakeCluster, faults: Faults) -> None:
    cluster.nodes[0].container.refuses = "cut"

    with pytest.raises(RuntimeError, match="n1 cannot be cut"):
        faults.partition("n1", "n2")

    assert faults.active == ()
    assert sorted(cluster.deeds[-2:]) == ["n1 rejoined", "n2 rejoined"]


def test_a_fault_ends_at_its_limit(cluster: FakeCluster, faults: Faults) -> None:
    fault = faults.pause("n3", limit=0.05)

    wait_until(
        lambda: NotYet("in force") if fault.is_active else Done(None), what="the limit", timeout=5, interval=0.01
    )

    assert "n3 resumed" in cluster.deeds
    assert faults.active == ()


def test_a_node_gets_the_rules_it_missed_while_it_was_down(cluster: FakeCluster, faults: Faults) -> None:
    killed = faults.kill("n2")
    faults.partition("n1", "n2")
    assert cluster.deeds == ["n2 killed", "n1 cut"]

    killed.heal()

    assert cluster.deeds[-2:] == ["n2 started", "n2 cut"]


def test_two_cuts_of_a_node_end_each_by_itself(cluster: FakeCluster, faults: Faults) -> None:
    first = faults.partition("n1", "n2")
    faults.partition("n1", "n3")
    cluster.deeds.clear()

    first.heal()

    assert sorted(cluster.deeds) == ["n1 cut", "n2 rejoined"]


def test_a_restart_ends_the_kill_there_was(cluster: FakeCluster, faults: Faults) -> None:
    killed = faults.kill("n1")
    assert faults.restart("n1") is killed

    faults.restart("n1")

    assert [deed for deed in cluster.deeds if deed.startswith("n1")] == [
        "n1 killed", "n1 started", "n1 rejoined", "n1 killed", "n1 started", "n1 rejoined",
    ]  # fmt: skip


def test_the_leader_is_the_one_that_leads_now(cluster: FakeCluster, faults: Faults) -> None:
    with faults.kill_leader() as fault:
        assert fault.node is cluster.leader

    assert cluster.operations[0].name == "leader n2 killed"


def test_managers_are_asked_where_faults_left_a_majority(faults: Faults) -> None:
    faults.isolate("n1")
    faults.kill("n2")

    assert [node.name for node in faults.usable_managers()] == ["n1", "n3"]


def test_a_killed_process_is_back_when_it_is_another_one(cluster: FakeCluster, faults: Faults) -> None:
    container: Any = cluster.nodes[0].container
    with faults.kill_engine("n1") as fault:
        assert cluster.deeds == ["n1 process got -KILL"]
        assert cluster.nodes[0].is_down

    assert container.process == 101
    assert fault.name == "engine of n1 killed"
    assert not cluster.nodes[0].is_down


def test_a_node_without_its_engine_is_cut_off_and_rejoined(cluster: FakeCluster, faults: Faults) -> None:
    """The network is healed first, while the engine is still away."""
    faults.kill_engine("n1")
    faults.isolate("n1")
    assert "n1 cut" in cluster.deeds

    faults.heal()

    assert [deed for deed in cluster.deeds if deed.startswith("n1")][-1] == "n1 rejoined"


def test_a_full_disk_is_emptied(cluster: FakeCluster, faults: Faults) -> None:
    with faults.fill_disk("n3"):
        assert not cluster.nodes[2].is_down

    assert cluster.deeds == ["n3 mountpoint --quiet /state", "n3 /state filled", "n3 /state/filler removed"]


def test_a_daemon_is_started_again_before_its_clock_jumps_for_the_first_time(
    cluster: FakeCluster, faults: Faults
) -> None:
    with faults.skew_clock("n1", 90):
        pass
    faults.skew_clock("n1", -1.5)

    assert cluster.deeds == [
        "n1 clock +0.000000s",
        "n1 process got -TERM",
        "n1 clock +90.000000s",
        "n1 clock +0.000000s",
        "n1 clock -1.500000s",
    ]


def test_a_disk_is_emptied_once_its_node_is_back(cluster: FakeCluster, faults: Faults) -> None:
    disk = faults.fill_disk("n1")
    faults.kill("n1")
    with pytest.raises(ValueError, match="n1 is down"):
        disk.heal()

    faults.heal()

    assert cluster.deeds[-1] == "n1 /state/filler removed"


def test_a_limit_that_passes_while_the_node_is_down_holds_once_it_is_back(
    cluster: FakeCluster, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault, "OVERDUE_SECONDS", 0.01)
    disk = faults.fill_disk("n1", limit=0.05)
    killed = faults.kill("n1")
    disk._timer.join(timeout=5)  # type: ignore[union-attr]
    assert disk.is_active

    killed.end()

    wait_until(lambda: NotYet("in force") if disk.is_active else Done(None), what="the limit", timeout=5, interval=0.01)
    assert cluster.deeds[-1] == "n1 /state/filler removed"


def test_a_cut_is_there_before_a_node_that_starts_speaks(
    cluster: FakeCluster, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults_module, "prepare_node", lambda node, _: cluster.deeds.append(f"{node.name} answers"))
    killed = faults.kill("n2")
    faults.isolate("n2")
    cluster.deeds.clear()

    killed.heal()

    assert cluster.deeds == ["n2 started", "n2 cut", "n2 answers"]


def test_what_docker_has_not_got_is_refused(cluster: FakeCluster, faults: Faults) -> None:
    cluster.engine.name = "docker"

    with pytest.raises(ValueError, match="use kill_engine"):
        faults.kill_swarmd("n1")
    with pytest.raises(ValueError, match="cannot be skewed"):
        faults.skew_clock("n1", 5)


@pytest.mark.parametrize(
    ("inflict", "reason"),
    [
        (lambda faults: faults.kill("n2"), "n2 is down: n2 killed"),
        (lambda faults: faults.pause("n2"), "n2 is down: n2 killed"),
        (lambda faults: faults.resume("n2"), "n2 is not paused"),
        (lambda faults: faults.kill("n1", limit=0.0), "needs a limit"),
        (lambda faults: faults.partition("n1", ["n3", "n1"]), "both sides"),
        (lambda faults: faults.drop(0.00004, "n1"), "at least 0.0001 and at most 100"),
    ],
)
def test_what_makes_no_sense_is_refused(
    cluster: FakeCluster, faults: Faults, inflict: Callable[[Faults], object], reason: str
) -> None:
    faults.kill("n2")

    with pytest.raises(ValueError, match=reason):
        inflict(faults)

    assert cluster.deeds == ["n2 killed"]
    assert len(faults.active) == 1
