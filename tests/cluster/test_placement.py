"""Where tasks run, and jobs, through the stock CLI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.test_stack import docker, rows

pytestmark = pytest.mark.cluster

IMAGE = "docker-swarm-test:1"
SERVICE = ("--no-resolve-image", "--quiet")


@pytest.fixture
def leader(swarm: Cluster) -> Iterator[Node]:
    """The leading manager; services and labels of the test are removed at its end."""
    node = swarm.leader
    yield node
    for row in rows(node, "service", "ls"):
        docker(node, "service", "rm", row["ID"])
    for each in swarm.nodes:
        docker(node, "node", "update", "--availability", "active", "--label-add", "zone=", each.name)


def places(node: Node, service: str) -> Counter[str]:
    """How many running tasks each node has."""
    tasks = rows(node, "service", "ps", service, "-f", "desired-state=running")
    return Counter(task["Node"] for task in tasks if task["CurrentState"].startswith("Running"))


def wait_places(node: Node, service: str, wanted: dict[str, int]) -> None:
    """Wait until the service's running tasks are where they are wanted."""

    def look() -> Done[None] | NotYet:
        found = places(node, service)
        return Done(None) if found == wanted else NotYet(f"running on {dict(found)}")

    wait_until(look, what=f"{service} to run on {wanted}", timeout=60)


def test_tasks_follow_labels_and_availability(swarm: Cluster, leader: Node) -> None:
    first, second = (node.name for node in swarm.nodes[-2:])
    docker(leader, "node", "update", "--label-add", "zone=east", first)
    docker(leader, "node", "update", "--label-add", "zone=west", second)
    where = ("--constraint", "node.labels.zone==east", "--replicas", "2")
    docker(leader, "service", "create", *SERVICE, "--name", "east", *where, IMAGE, "/docker-swarm-test")
    wait_places(leader, "east", {first: 2})
    docker(leader, "node", "update", "--label-add", "zone=east", second)
    docker(leader, "node", "update", "--label-add", "zone=west", first)
    wait_places(leader, "east", {second: 2})


def test_preferences_limits_and_global(swarm: Cluster, leader: Node) -> None:
    names = [node.name for node in swarm.nodes]
    limited = ("--replicas", str(len(names)), "--replicas-max-per-node", "1")
    docker(leader, "service", "create", *SERVICE, "--name", "one", *limited, IMAGE, "/docker-swarm-test")
    wait_places(leader, "one", dict.fromkeys(names, 1))
    docker(leader, "service", "create", *SERVICE, "--name", "all", "--mode", "global", IMAGE, "/docker-swarm-test")
    wait_places(leader, "all", dict.fromkeys(names, 1))
    docker(leader, "node", "update", "--availability", "drain", names[-1])
    wait_places(leader, "all", dict.fromkeys(names[:-1], 1))
    docker(leader, "node", "update", "--availability", "active", names[-1])
    wait_places(leader, "all", dict.fromkeys(names, 1))


def test_jobs_run_to_completion_and_again(swarm: Cluster, leader: Node) -> None:
    job = ("--mode", "replicated-job", "--replicas", "3", "--max-concurrent", "2", "--restart-condition", "on-failure")
    # Without --detach the CLI returns when the job is complete.
    docker(leader, "service", "create", *SERVICE, "--name", "job", *job, IMAGE, "/bin/sleep", "0.2")
    everywhere = ("--mode", "global-job", "--restart-condition", "on-failure")
    docker(leader, "service", "create", *SERVICE, "--name", "each", *everywhere, IMAGE, "/bin/sleep", "0.2")
    nodes = len(swarm.nodes)
    shown = {row["Name"]: row["Replicas"] for row in rows(leader, "service", "ls")}
    assert shown == {"job": "0/2 (3/3 completed)", "each": f"0/0 ({nodes}/{nodes} completed)"}
    docker(leader, "service", "update", "--force", *SERVICE, "job")
    tasks = rows(leader, "service", "ps", "job")
    assert Counter(task["CurrentState"].split()[0] for task in tasks) == {"Complete": 6}
