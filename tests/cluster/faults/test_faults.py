"""Each fault does to a real cluster what it says, and nothing of it is left when it is healed."""

from __future__ import annotations

import time

import pytest
from docker import DockerClient

from pytest_swarm.cluster import Cluster
from pytest_swarm.conditions import moment_of
from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.faults.probes import connects, datagram_arrives, echoes, process

pytestmark = pytest.mark.cluster


def node_id(node: Node) -> str:
    """The node's identity in the swarm."""
    return str(node.client.info()["Swarm"]["NodeID"])


def has_table(node: Node) -> bool:
    """Whether any rules of a fault are in the node."""
    return "swarm_faults" in node.run_command(["nft", "list", "tables"])


def followers(swarm: Cluster) -> list[Node]:
    """The managers that do not lead."""
    leader = swarm.leader
    return [node for node in swarm.nodes[: swarm.managers] if node is not leader]


def test_a_killed_node_comes_back_as_it_was(swarm: Cluster) -> None:
    node = swarm.nodes[-1]
    before = node_id(node)

    with swarm.kill(node) as fault:
        node.container.reload()
        assert node.container.status == "exited"
        assert node.container.attrs["State"]["ExitCode"] == 137

    assert node_id(node) == before
    node.container.reload()
    (network,) = node.container.attrs["NetworkSettings"]["Networks"].values()
    assert network["IPAddress"] == node.address
    assert len(swarm.api.nodes()) == len(swarm.nodes)
    print(f"{node.name} was killed and answered again after {fault.seconds:.1f} s")  # noqa: T201


def test_a_paused_node_does_not_answer(swarm: Cluster) -> None:
    node = swarm.nodes[-1]
    swarm.pause(node)

    status, _ = swarm.nodes[0].container.exec_run(["true"])
    assert status == 0
    with pytest.raises(OSError, match="timed out"):
        DockerClient(base_url=f"unix://{swarm.directory}/{node.name}/docker.sock", version="1.41", timeout=1).ping()

    swarm.resume(node)
    assert node.client.ping()


def test_a_partition_cuts_every_port_and_both_ways(swarm: Cluster) -> None:
    one, other = followers(swarm)
    third = swarm.leader
    assert connects(one, other)

    with swarm.partition(one, other):
        assert not connects(one, other)
        assert not connects(other, one)
        assert not datagram_arrives(one, other)
        assert connects(one, third)
        assert one.client.ping()
        assert other.client.ping()

    assert connects(one, other)
    assert connects(other, one)
    assert not has_table(one)
    assert not has_table(other)


def test_a_one_way_partition_lets_the_other_way_pass(swarm: Cluster) -> None:
    one, other = followers(swarm)

    with swarm.partition(one, other, one_way=True):
        assert not datagram_arrives(one, other)
        assert datagram_arrives(other, one)

    assert datagram_arrives(one, other)


def test_the_majority_goes_on_without_an_isolated_leader(swarm: Cluster) -> None:
    leader = swarm.leader

    with swarm.isolate(leader):
        assert not any(connects(node, leader) for node in swarm.nodes if node is not leader)
        successor = swarm.leader
        assert successor is not leader

    assert sum((each.get("ManagerStatus") or {}).get("Leader", False) for each in leader.client.api.nodes()) == 1


def test_packets_are_lost_by_chance(swarm: Cluster) -> None:
    one, other = followers(swarm)
    assert echoes(one, other, 20) == 20

    with swarm.drop(30, one, other):
        answered = echoes(one, other, 100)

    # Each echo passes two lossy ways: 49 of 100 on the average; beyond these bounds once in a million times.
    assert 25 <= answered <= 74
    assert echoes(one, other, 20) == 20


def test_rules_outlive_a_restart_of_the_node(swarm: Cluster) -> None:
    one, other = followers(swarm)

    with swarm.partition(one, other):
        with swarm.kill(one):
            pass
        assert has_table(one)
        assert not connects(one, other)
        assert not datagram_arrives(one, other)

    assert not has_table(one)


def test_a_killed_leader_has_a_successor(swarm: Cluster) -> None:
    with swarm.kill_leader() as fault:
        print(f"failover: {swarm.failover_seconds(fault):.2f} s")  # noqa: T201
        assert swarm.leader is not fault.node

    assert all((node.get("ManagerStatus") or {}).get("Reachability") != "unreachable" for node in swarm.api.nodes())


def test_a_killed_daemon_is_started_again(swarm: Cluster) -> None:
    if swarm.engine.name == "docker":
        pytest.skip("Docker's swarm mode has no daemon of its own")
    node = swarm.nodes[1]
    before = process(node, "-f", "^python3 -m orchestrator$")
    engine = process(node, "-x", "dockerd")

    with swarm.kill_swarmd(node):
        pass

    assert process(node, "-f", "^python3 -m orchestrator$") != before
    assert process(node, "-x", "dockerd") == engine


def test_a_killed_engine_is_started_again(swarm: Cluster) -> None:
    node = swarm.nodes[1]
    before = process(node, "-x", "dockerd")

    with swarm.kill_engine(node):
        pass

    assert process(node, "-x", "dockerd") != before
    assert node.client.info()["Swarm"]["LocalNodeState"] == "active"


def test_a_fault_ends_at_its_limit(swarm: Cluster) -> None:
    node = swarm.nodes[-1]
    fault = swarm.isolate(node, limit=1.0)
    assert has_table(node)

    wait_until(lambda: NotYet("it is in force") if fault.is_active else Done(None), what="the limit", timeout=10)

    assert not has_table(node)
    assert 1.0 <= fault.seconds < 10.0


def test_everything_is_healed_at_once(swarm: Cluster) -> None:
    swarm.kill(swarm.nodes[-1])
    swarm.pause(swarm.nodes[1])
    swarm.partition(swarm.nodes[0], swarm.nodes[2])
    names = [fault.name for fault in swarm.faults.active]

    swarm.heal()

    assert swarm.faults.active == ()
    assert [each.name for each in swarm.operations[-3:]] == names
    assert all(each.finished < float("inf") for each in swarm.operations)
    assert all(node.client.ping() for node in swarm.nodes)
    assert not any(has_table(node) for node in swarm.nodes)


def test_a_full_disk_holds_nothing_more(swarm: Cluster) -> None:
    node = swarm.nodes[-1]
    directory = swarm.engine.state_directory()
    if node.container.exec_run(["mountpoint", "-q", directory])[0] != 0:
        pytest.skip("this machine has no loop devices")
    write = ["dd", "if=/dev/zero", f"of={directory}/probe", "bs=4096", "count=1"]

    with swarm.fill_disk(node):
        status, output = node.container.exec_run(write)
        assert status != 0
        assert b"No space left on device" in output
        # The machine's disk and the engine's are not touched.
        node.run_command(["dd", "if=/dev/zero", "of=/var/lib/docker/probe", "bs=4096", "count=1"])

    node.run_command(write)
    node.run_command(["rm", f"{directory}/probe", "/var/lib/docker/probe"])
    print(node.run_command(["df", "-h", directory]))  # noqa: T201


def test_a_clock_jumps_ahead_and_back(swarm: Cluster) -> None:
    if swarm.engine.name == "docker":
        pytest.skip("an engine in Go reads the machine's own clock")
    managers = swarm.nodes[: swarm.managers]

    faults = [swarm.skew_clock(node, 3600) for node in managers]
    assert ahead(swarm) == pytest.approx(3600, abs=5)
    for fault in faults:
        fault.heal()
    assert ahead(swarm) == pytest.approx(0, abs=5)

    before = [process(node, "-f", "^python3 -m orchestrator$") for node in managers]
    for node in managers:
        swarm.skew_clock(node, -600)
    assert ahead(swarm) == pytest.approx(-600, abs=5)
    assert [process(node, "-f", "^python3 -m orchestrator$") for node in managers] == before


def ahead(swarm: Cluster) -> float:
    """How many seconds the managers' clocks are ahead, by the time they give to what is made now."""
    made = swarm.api.create_config("clock", b"x")
    created = moment_of(swarm.api.inspect_config(made["ID"])["CreatedAt"])
    swarm.api.remove_config(made["ID"])
    return created - time.time()
