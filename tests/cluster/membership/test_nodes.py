"""Nodes change their role, leave and come back, while the service they carry is asked all the time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.test_stack import docker, rows

pytestmark = pytest.mark.cluster


def manager_status(node: Node, name: str) -> str:
    """What `docker node ls` shows of the named node's part in the consensus."""
    return str(next(row["ManagerStatus"] for row in rows(node, "node", "ls") if row["Hostname"] == name))


def wait_status(asked: Node, name: str, wanted: tuple[str, ...]) -> None:
    """Wait until the node's part in the consensus is one of those wanted."""

    def look() -> Done[None] | NotYet:
        status = manager_status(asked, name)
        return Done(None) if status in wanted else NotYet(f"{name} is {status or 'a worker'!r}")

    wait_until(look, what=f"{name} to be one of {wanted}", timeout=30)


def test_roles_change_and_nothing_is_lost(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3)
    first = swarm.leader
    others = [node for node in swarm.nodes if node is not first]
    other = others[0]
    started = {task["ID"] for task in web.tasks()}

    with load(web) as run:
        docker(first, "node", "promote", *(node.name for node in swarm.nodes))
        for node in others:
            wait_status(first, node.name, ("Reachable",))
        # The leader hands over before it goes.
        docker(other, "node", "demote", first.name)
        wait_status(other, first.name, ("",))
        docker(other, "node", "promote", first.name)
        wait_status(other, first.name, ("Reachable",))

    assert run.lost == 0, run.explain()
    assert {task["ID"] for task in web.tasks()} == started


def test_a_node_leaves_and_comes_back(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3)
    leader = swarm.leader
    # Requests enter through the first node: it stays.
    node = next(node for node in reversed(swarm.nodes) if node is not leader and node is not swarm.nodes[0])
    role = "manager" if manager_status(leader, node.name) else "worker"
    before = next(row["ID"] for row in rows(leader, "node", "ls") if row["Hostname"] == node.name)

    with load(web, requests=200) as run:
        assert docker(node, "swarm", "leave", "--force") == "Node left the swarm.\n"
        assert next(row["Status"] for row in rows(leader, "node", "ls") if row["ID"] == before) == "Down"

    assert run.lost == 0, run.explain()
    assert docker(node, "ps", "-aq") == ""
    docker(leader, "node", "rm", before)
    token = docker(leader, "swarm", "join-token", "-q", role).strip()
    docker(node, "swarm", "join", "--token", token, f"{leader.address}:2377")
    swarm.wait_ready()
    after = next(row["ID"] for row in rows(leader, "node", "ls") if row["Hostname"] == node.name)
    assert after != before


def test_the_last_manager_may_not_be_demoted(swarm: Cluster) -> None:
    leader = swarm.leader
    managers = [row["Hostname"] for row in rows(leader, "node", "ls") if row["ManagerStatus"]]
    for name in managers:
        if name != leader.name:
            docker(leader, "node", "demote", name)
            wait_status(leader, name, ("",))
    status, output = leader.container.exec_run(["docker", "node", "demote", leader.name])
    assert status == 1
    assert b"attempting to demote the last manager of the swarm" in output
    for name in managers:
        docker(leader, "node", "promote", name)
        wait_status(leader, name, ("Leader", "Reachable"))
