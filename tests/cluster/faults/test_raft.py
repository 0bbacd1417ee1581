"""Managers die, stand still, lose their log or all of it: what real nodes say, keep and recover from."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.membership.test_nodes import manager_status, wait_status
from tests.cluster.test_stack import docker

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.usefixtures("three_own_managers"),
]

NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are "
    "online. Make sure more than half of the managers are online."
)
LOST_LEADER = "rpc error: code = Unknown desc = raft: failed to process the request: node lost leader status"
ANSWER_SECONDS_MAX = 5.0
LEADERLESS_SECONDS = 3.0
"""Longer than a leader without followers believes in itself, and than a request waits for an election."""
JOURNAL = "/var/lib/swarm/raft/journal"


def refused(node: Node, *arguments: str) -> tuple[str, float]:
    """What the CLI says when the command fails, as it must, and after how many seconds."""
    began = time.monotonic()
    status, output = node.container.exec_run(["docker", *arguments])
    assert status != 0, output
    return output.decode(errors="replace").strip(), time.monotonic() - began


def containers(node: Node) -> set[str]:
    return set(docker(node, "ps", "-q").split())


def managers_of(swarm: Cluster) -> tuple[Node, list[Node]]:
    """The leader and the other managers."""
    leader = swarm.leader
    return leader, [node for node in swarm.nodes[: swarm.managers] if node is not leader]


def test_without_a_majority_all_is_refused_at_once_and_running_tasks_stay(
    swarm: Cluster, deploy: Callable[..., Service]
) -> None:
    deploy(replicas=3)
    leader, others = managers_of(swarm)
    survivor = others[0]
    running = containers(survivor)
    with swarm.kill(leader), swarm.kill(others[1]):
        time.sleep(LEADERLESS_SECONDS)
        for command in (("node", "ls"), ("service", "ls"), ("config", "create", "late", "/etc/hostname")):
            said, seconds = refused(survivor, *command)
            assert said.endswith(NO_LEADER), said
            assert seconds < ANSWER_SECONDS_MAX
        assert f"Error: {NO_LEADER}" in docker(survivor, "info")
        assert containers(survivor) == running
    docker(survivor, "config", "create", "afterwards", "/etc/hostname")
    docker(survivor, "config", "rm", "afterwards")


def test_a_leader_that_is_cut_off_answers_its_clients_in_time(swarm: Cluster) -> None:
    leader, others = managers_of(swarm)
    commands = [("node", "ls"), ("config", "create", "cut-off", "/etc/hostname")] * 3
    with swarm.pause(others[0]), swarm.pause(others[1]):
        for command in commands:
            said, seconds = refused(leader, *command)
            assert said.endswith((NO_LEADER, LOST_LEADER)), said
            assert seconds < ANSWER_SECONDS_MAX, command
        assert refused(leader, "node", "ls")[0].endswith(NO_LEADER)


def test_clients_of_the_others_hardly_notice_a_leader_that_stands_still(swarm: Cluster) -> None:
    leader, others = managers_of(swarm)
    pause = swarm.pause(leader)
    for node in others:
        began = time.monotonic()
        docker(node, "node", "ls")
        assert time.monotonic() - began < ANSWER_SECONDS_MAX
    docker(others[0], "config", "create", "meanwhile", "/etc/hostname")
    pause.end()
    # What a deposed leader still believes is not answered from.
    assert "meanwhile" in docker(leader, "config", "ls")
    docker(leader, "config", "rm", "meanwhile")


def test_what_one_manager_acknowledged_all_others_show(swarm: Cluster) -> None:
    managers = swarm.nodes[: swarm.managers]
    for number in range(20):
        writer, *readers = (*managers[number % 3 :], *managers[: number % 3])
        writer.client.api.create_config(f"seen-{number}", b"x")
        for reader in readers:
            names = [config["Spec"]["Name"] for config in reader.client.api.configs()]
            assert f"seen-{number}" in names
            reader.client.api.inspect_config(f"seen-{number}")
        readers[0].client.api.remove_config(f"seen-{number}")


def test_a_torn_log_is_named_and_a_demotion_makes_the_node_sound(
    swarm: Cluster, deploy: Callable[..., Service]
) -> None:
    web = deploy(replicas=3)
    _, (node, other) = managers_of(swarm)
    node.run_command(["sh", "-c", f"cp {JOURNAL} /tmp/journal && truncate -s 4200 /tmp/journal"])
    running = containers(node)
    node.run_command(["mv", "/tmp/journal", JOURNAL])
    node.run_command(["pkill", "--signal", "KILL", "--parent", "1", "--full", "orchestrator"])

    def is_named() -> Done[None] | NotYet:
        _, output = node.container.exec_run(["docker", "info"])
        text = output.decode(errors="replace")
        told = "Swarm: error" in text and f"the journal {JOURNAL} is damaged" in text
        return Done(None) if told else NotYet(text[-300:])

    wait_until(is_named, what="the damage to be named", timeout=30.0)
    assert running <= containers(node)
    docker(other, "node", "demote", node.name)
    wait_status(other, node.name, ("",))
    docker(other, "node", "promote", node.name)
    wait_status(other, node.name, ("Reachable",))
    assert "Swarm: active" in docker(node, "info")
    web.wait_converged()


def test_one_manager_goes_on_alone_by_force(swarm: Cluster, deploy: Callable[..., Service]) -> None:
    """Last: it takes the cluster apart, and puts it together again.

    The one has not heard the last that the others did, while the worker has.
    """
    web = deploy(replicas=3)
    docker(swarm.nodes[0], "network", "create", "-d", "overlay", "kept-net")
    docker(swarm.nodes[0], "secret", "create", "kept-secret", "/etc/hostname")
    leader, others = managers_of(swarm)
    alone, lost = others[0], [leader, others[1]]
    nodes = {row.split()[0] for row in docker(alone, "node", "ls", "-q").splitlines()}
    with swarm.partition(alone, lost):
        web.scale(5)
        kills = [swarm.kill(node) for node in lost]
    time.sleep(LEADERLESS_SECONDS)
    docker(alone, "swarm", "init", "--force-new-cluster", "--advertise-addr", alone.address)
    assert manager_status(alone, alone.name) == "Leader"
    assert [manager_status(alone, node.name) for node in lost] == ["", ""]
    assert {row.split()[0] for row in docker(alone, "node", "ls", "-q").splitlines()} == nodes
    assert "kept-net" in docker(alone, "network", "ls")
    assert "kept-secret" in docker(alone, "secret", "ls")
    assert web.name in docker(alone, "service", "ls")
    for kill in kills:
        kill.end()

    # The lost ones come back as workers, and may be promoted anew.
    for node in lost:
        _wait_worker(node)
        docker(alone, "node", "promote", node.name)
        wait_status(alone, node.name, ("Reachable",))
    swarm.wait_ready()
    # Each replaced task waits for every node to say that it has heard.
    web.scale(4)
    web.update(force=True)
    docker(alone, "network", "rm", "kept-net")
    docker(alone, "secret", "rm", "kept-secret")


def _wait_worker(node: Node) -> None:
    def look() -> Done[None] | NotYet:
        _, output = node.container.exec_run(["docker", "info"])
        text = output.decode(errors="replace")
        return Done(None) if "Is Manager: false" in text and "Swarm: active" in text else NotYet(text[-300:])

    wait_until(look, what=f"{node.name} to be a worker", timeout=60.0)
