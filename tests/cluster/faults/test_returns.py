"""Nodes that were away: what goes on without them, and what they may bring along when they are back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.engine_client import SERVICE_LABEL
from pytest_swarm.load import Load
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.faults.tasks import containers, others, report, running, spread_over_all_nodes, wait_running
from tests.cluster.membership.test_nodes import wait_status
from tests.cluster.test_stack import docker, rows

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.usefixtures("three_own_managers"),
]

DOWN_SECONDS = 60.0
LONG_SECONDS = 150.0
"""A fault's limit: until the node is down and its tasks are replaced."""
ANSWER_SECONDS = 5.0


@pytest.fixture
def quick_heartbeat(swarm: Cluster) -> Iterator[float]:
    """Agents that say every second that they live."""
    docker(swarm.leader, "swarm", "update", "--dispatcher-heartbeat", "1s")
    yield 1.0
    docker(swarm.leader, "swarm", "update", "--dispatcher-heartbeat", "5s")


def seconds_until_down(asked: Node, name: str) -> float:
    """How long it takes until the managers hold the node dead."""
    began = time.monotonic()

    def look() -> Done[float] | NotYet:
        status = next(row["Status"] for row in rows(asked, "node", "ls") if row["Hostname"] == name)
        return Done(time.monotonic() - began) if status == "Down" else NotYet(f"{name} is {status}")

    return wait_until(look, what=f"{name} to be down", timeout=DOWN_SECONDS)


def own_containers(node: Node, web: Service) -> list[str]:
    """The service's containers that run on the node, asked from inside: it may be cut off."""
    filters = ("--filter", f"label={SERVICE_LABEL}={web.id}")
    return docker(node, "ps", "--quiet", *filters).split()


def test_a_worker_that_is_back_gives_up_the_tasks_that_were_replaced(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    web, worker, before = spread_over_all_nodes(swarm, deploy)
    survivors = others(swarm, worker)

    with load(web, requests=600, targets=survivors, connect_timeout=2.0) as run:
        with swarm.isolate(worker, limit=LONG_SECONDS):
            wait_running(web, 4, on=survivors)
            assert len(own_containers(worker, web)) == len(before), "a node that nobody reaches goes on with its tasks"
        web.wait_converged()

    report("worker cut off until its tasks were replaced", run)
    assert run.duplicates == 0, run.explain()
    assert not set(before) & set(running(web, on=others(swarm)))

    def none_doubled() -> Done[None] | NotYet:
        found = containers(swarm, web)
        return Done(None) if len(found) == 4 else NotYet(f"{len(found)} containers")

    wait_until(none_doubled, what="four containers for four tasks", timeout=DOWN_SECONDS)


def test_a_quicker_heartbeat_finds_a_dead_worker_sooner(
    swarm: Cluster, deploy: Callable[..., Service], quick_heartbeat: float
) -> None:
    worker, leader = swarm.nodes[-1], swarm.leader
    # Who runs a task that was assigned later has heard of the new period, and has been heard under it.
    deploy(replicas=1, constraints=[f"node.hostname=={worker.name}"])
    with swarm.kill(worker):
        seconds = seconds_until_down(leader, worker.name)
    print(f"down after {seconds:.1f} s with a heartbeat of {quick_heartbeat:.0f} s")  # noqa: T201
    assert seconds < 6.0


def test_a_leader_whose_disk_is_full_refuses_makes_way_and_recovers(
    swarm: Cluster, deploy: Callable[..., Service]
) -> None:
    web = deploy(replicas=3)
    leader = swarm.leader
    if leader.container.exec_run(["mountpoint", "-q", swarm.engine.state_directory()])[0] != 0:
        pytest.skip("this machine has no loop devices")
    before = containers(swarm, web)
    kept: list[str] = []
    refusals: list[str] = []

    def create(node: Node, number: int) -> None:
        began = time.monotonic()
        # Of a size that the room which the journal keeps ahead of itself does not hold twenty times.
        script = 'head -c 20000 /dev/zero | docker config create "$1" -'
        status, output = node.container.exec_run(["bash", "-c", script, "bash", f"full-{number}"])
        assert time.monotonic() - began < ANSWER_SECONDS
        if status == 0:
            kept.append(f"full-{number}")
        else:
            refusals.append(output.decode())

    with swarm.fill_disk(leader):
        for number in range(20):
            create(swarm.nodes[number % 3], number)
        assert containers(swarm, web) == before
        assert refusals, "a journal without room took everything"
        assert all("no space left on device" in said or "does not have a leader" in said for said in refusals)
        assert swarm.leader is not leader, "it leads on, and nothing can be changed while others have room"

    create(swarm.nodes[1], 20)
    assert kept[-1] == "full-20", refusals[-1]
    for node in swarm.nodes[:3]:
        names = docker(node, "config", "ls", "--format", "{{.Name}}").split()
        assert sorted(name for name in names if name in kept) == sorted(kept), (
            f"what was acknowledged is not on {node.name}"
        )
    docker(leader, "config", "rm", *kept)
    web.wait_converged()


def test_a_demotion_directly_after_the_promotion_is_carried_out(swarm: Cluster) -> None:
    worker, leader = swarm.nodes[-1], swarm.leader
    docker(leader, "node", "promote", worker.name)
    docker(leader, "node", "demote", worker.name)
    wait_status(leader, worker.name, ("",))

    def is_worker() -> Done[None] | NotYet:
        text = docker(worker, "info", "--format", "{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}").strip()
        return Done(None) if text == "active false" else NotYet(text)

    wait_until(is_worker, what=f"{worker.name} to be a worker", timeout=30.0)


def test_a_manager_that_was_removed_while_away_comes_back_as_nobody(swarm: Cluster) -> None:
    """Its disk says that it is a manager, and its certificate is valid for weeks."""
    leader = swarm.leader
    gone = next(node for node in swarm.nodes[:3] if node is not leader)
    node_id = gone.client.info()["Swarm"]["NodeID"]
    kill = swarm.kill(gone)
    seconds_until_down(leader, gone.name)
    docker(leader, "node", "demote", gone.name)
    docker(leader, "node", "rm", "--force", node_id)
    kill.end()

    def knows_nothing() -> Done[None] | NotYet:
        status, output = gone.container.exec_run(["docker", "node", "ls"])
        return Done(None) if status != 0 else NotYet(output.decode())

    wait_until(knows_nothing, what="the removed manager to answer for nobody", timeout=30.0)
    assert docker(leader, "node", "ls", "--filter", f"id={node_id}", "--quiet") == ""
    assert swarm.leader is leader, "it came back and unseated the leader"

    docker(gone, "swarm", "leave", "--force")
    token = docker(leader, "swarm", "join-token", "-q", "manager").strip()
    docker(gone, "swarm", "join", "--token", token, f"{leader.address}:2377")
    wait_status(leader, gone.name, ("Reachable",))
    swarm.wait_ready()
