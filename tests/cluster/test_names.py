"""What names mean to a task on every node: services without a virtual address, aliases, tasks, and what is gone."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_swarm import dns_probe
from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.command_line import IMAGE, command, containers_of, remove_services, succeed, tasks_of

pytestmark = pytest.mark.cluster

NETWORK, INTERNAL_NETWORK, SETTLE_SECONDS = "named-net", "internal-net", 40.0
NO_SUCH_NAME = 3
CREATE = ("service", "create", "--no-resolve-image", "--quiet", "--stop-grace-period", "1s")
_LOOK_UP = """
import sys
probe = {"__name__": "probe"}
exec(sys.argv[1], probe)
print([probe["ask"](probe["nameserver"](), number, name) for number, name in enumerate(sys.argv[2:])])
"""
OUT_OF_NAMES_SECONDS = 5.0
"""The failure detector's second and a bit, and a round of questions; by heartbeats a node is down after ten or more."""
Answers = list[tuple[int, list[str]]]


@pytest.fixture
def manager(swarm: Cluster) -> Iterator[Node]:
    """A manager of a cluster with an overlay network on which a task of `asker` runs on every node."""
    node = swarm.nodes[0]
    succeed(node, "network", "create", "-d", "overlay", NETWORK)
    succeed(node, *CREATE, "--name", "asker", "--mode", "global", "--network", NETWORK, IMAGE, "/bin/sleep", "600")
    yield node
    remove_services(node)
    succeed(node, "network", "rm", NETWORK)


@pytest.fixture
def confined(manager: Node) -> Iterator[str]:
    """A service with a task on every node, on an internal network alone."""
    succeed(manager, "network", "create", "-d", "overlay", "--internal", INTERNAL_NETWORK)
    options = ("--name", "confined", "--mode", "global", "--network", INTERNAL_NETWORK)
    succeed(manager, *CREATE, *options, IMAGE, "/bin/sleep", "600")
    yield "confined"
    remove_services(manager)
    succeed(manager, "network", "rm", INTERNAL_NETWORK)


def look_up(node: Node, *names: str, asker: str = "asker") -> Answers:
    """(DNS's code, addresses) of each name, as the node's asker is told."""
    (container,) = containers_of([node], asker)
    source = Path(dns_probe.__file__).read_text("utf-8")
    answer = command(node, "docker", "exec", container.id, "python3", "-c", _LOOK_UP, source, *names)
    assert answer.status == 0, answer.error
    return [(code, sorted(addresses)) for code, _, addresses in ast.literal_eval(answer.output)]


def wait_for_answers(nodes: Sequence[Node], names: tuple[str, ...], wanted: Answers, *, asker: str = "asker") -> None:
    """Wait until every node's asker is told this."""

    def look() -> Done[None] | NotYet:
        for node in nodes:
            if (answers := look_up(node, *names, asker=asker)) != wanted:
                return NotYet(f"{node.name}: {answers}")
        return Done(None)

    wait_until(look, what=f"answers {wanted}", timeout=SETTLE_SECONDS)


def test_a_service_without_a_virtual_address_is_its_tasks_by_every_name_it_has(swarm: Cluster, manager: Node) -> None:
    network = f"name={NETWORK},alias=www"
    options = ("--name", "rr", "--replicas", "2", "--endpoint-mode", "dnsrr", "--network", network)
    succeed(manager, *CREATE, *options, IMAGE, "/bin/sleep", "600")
    ids = succeed(manager, "service", "ps", "--quiet", "--no-trunc", "rr").split()
    shown = "{{.Slot}} {{index (index .NetworksAttachments 0).Addresses 0}}"
    placed = {task_id: succeed(manager, "inspect", "--format", shown, task_id).split() for task_id in ids}
    both = sorted(address.partition("/")[0] for _, address in placed.values())
    assert len(both) == 2

    names = ("rr", "RR", "www", f"rr.{NETWORK}", "tasks.rr", "tasks.www")
    wait_for_answers(swarm.nodes, names, [(0, both)] * len(names))
    for task_id, (slot, address) in placed.items():
        wait_for_answers(swarm.nodes, (f"rr.{slot}.{task_id}",), [(0, [address.partition("/")[0]])])
    assert look_up(manager, "nobody", "tasks.nobody", "web") == [(NO_SUCH_NAME, [])] * 3

    succeed(manager, "service", "rm", "rr")
    wait_for_answers(swarm.nodes, names, [(NO_SUCH_NAME, [])] * len(names))


def test_one_alias_of_two_services_means_both(swarm: Cluster, manager: Node) -> None:
    for name in ("one", "two"):
        network = f"name={NETWORK},alias=either"
        succeed(manager, *CREATE, "--name", name, "--network", network, IMAGE, "/bin/sleep", "600")
        assert len(tasks_of(manager, name)) == 1
    shown = "{{(index .Endpoint.VirtualIPs 0).Addr}}"
    virtual = [
        succeed(manager, "service", "inspect", "--format", shown, name).partition("/")[0] for name in ("one", "two")
    ]
    wait_for_answers(
        swarm.nodes, ("one", "two", "either"), [(0, [virtual[0]]), (0, [virtual[1]]), (0, sorted(virtual))]
    )


def test_containers_are_found_by_what_they_call_themselves_before_they_are_healthy(
    swarm: Cluster, manager: Node
) -> None:
    """So do members of a database that are healthy only once they have found one another."""
    replicas = 2
    options = ("--detach", "--name", "db", "--replicas", str(replicas), "--network", NETWORK)
    hostname = ("--hostname", "db-{{.Task.Slot}}")
    unhealthy = ("--health-cmd", "false", "--health-interval", "1s", "--health-retries", "600")
    succeed(manager, *CREATE, *options, *hostname, *unhealthy, IMAGE, "/bin/sleep", "600")

    def started() -> Done[list[Any]] | NotYet:
        found = containers_of(swarm.nodes, "db")
        return Done(found) if len(found) == replicas else NotYet(f"{len(found)} containers")

    names: list[str] = []
    answers: Answers = []
    for container in wait_until(started, what="containers", timeout=SETTLE_SECONDS):
        task_id = container.labels["com.docker.swarm.task.id"]
        shown = "db-{{.Slot}} {{index (index .NetworksAttachments 0).Addresses 0}}"
        given, address = succeed(manager, "inspect", "--format", shown, task_id).split()
        names += [given, f"{given}.{NETWORK}", container.short_id]
        answers += [(0, [address.partition("/")[0]])] * 3
    wait_for_answers(swarm.nodes, ("tasks.db", *names), [(0, []), *answers])

    succeed(manager, "service", "rm", "db")
    wait_for_answers(swarm.nodes, tuple(names), [(NO_SUCH_NAME, [])] * len(names))


def test_names_of_the_outside_are_the_nodes_own_to_ask_for_unless_a_network_is_internal(
    swarm: Cluster, manager: Node, confined: str
) -> None:
    """The outside is the network of the nodes: its name server knows every node by `<node>.<network>`."""
    (network,) = manager.container.attrs["NetworkSettings"]["Networks"]
    outside = [f"{node.container_name}.{network}" for node in swarm.nodes]
    addresses: Answers = [(0, [node.address]) for node in swarm.nodes]
    wait_for_answers(swarm.nodes, tuple(outside), addresses)

    shown = "{{(index .Endpoint.VirtualIPs 0).Addr}}"
    own = succeed(manager, "service", "inspect", "--format", shown, confined).partition("/")[0]
    wait_for_answers(swarm.nodes, (confined,), [(0, [own])], asker=confined)
    for node in swarm.nodes:
        told = look_up(node, *outside, asker=confined)
        assert all(code != 0 and not found for code, found in told), told


def test_a_dead_node_is_out_of_the_names_long_before_it_is_down(swarm: Cluster, manager: Node) -> None:
    dying, living = swarm.nodes[-1], swarm.nodes[:-1]
    succeed(manager, *CREATE, "--name", "all", "--mode", "global", "--network", NETWORK, IMAGE, "/bin/sleep", "600")
    ((_, before),) = look_up(manager, "tasks.all")
    assert len(before) == len(swarm.nodes)
    shown = "{{.NodeID}} {{(index .NetworksAttachments 0).Addresses}}"
    there = swarm.node_ids()[dying.name]
    ids = succeed(manager, "service", "ps", "--quiet", "--no-trunc", "all").split()
    placed = dict(succeed(manager, "inspect", "--format", shown, task_id).split() for task_id in ids)
    rest = [address for address in before if address != placed[there].strip("[]").partition("/")[0]]
    assert len(rest) == len(before) - 1

    with swarm.kill(dying):
        began = time.monotonic()
        wait_for_answers(living, ("tasks.all",), [(0, rest)])
        took = time.monotonic() - began
        status = succeed(manager, "node", "inspect", "--format", "{{.Status.State}}", dying.name)

    print(f"out of the names of {len(living)} nodes after {took:.1f} s, the node still {status}")  # noqa: T201
    if swarm.engine.name == "orchestrator":
        assert took < OUT_OF_NAMES_SECONDS
        assert status == "ready"

    def everywhere() -> Done[None] | NotYet:
        ((_, found),) = look_up(manager, "tasks.all")
        return Done(None) if set(rest) < set(found) and len(found) == len(before) else NotYet(str(found))

    # With a container of its own since, and so another address for its task.
    wait_until(everywhere, what="the node to be among the names again", timeout=SETTLE_SECONDS)
