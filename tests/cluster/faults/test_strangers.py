"""A container on the cluster's network that is no node: what it reaches, and what its garbage does."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from tests.cluster.command_line import command, succeed

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.cluster

STRANGER = Path(__file__).with_name("stranger.py")
SECONDS = 90
MEMORY_GROWTH_BYTES = 64 * 2**20


@pytest.fixture
def stranger(swarm: Cluster, swarm_host: docker.DockerClient, swarm_node_image: str) -> Iterator[Any]:
    """A container of the nodes' image on the nodes' network that runs nothing of ours."""
    node = swarm.nodes[0].container
    node.reload()
    network = next(iter(node.attrs["NetworkSettings"]["Networks"]))
    container = swarm_host.containers.run(
        swarm_node_image,
        entrypoint=["sleep", "600"],
        network=network,
        labels=node.labels,
        detach=True,
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def ask(stranger: Any, *arguments: str) -> Any:
    """What the stranger's script found."""
    words = ["timeout", str(SECONDS), "python3", "-c", STRANGER.read_text(), *arguments]
    status, (output, error) = stranger.exec_run(words, demux=True)
    assert status == 0, (error or b"").decode()
    return json.loads(output)


def address_of(node: Node) -> str:
    return succeed(node, "info", "--format", "{{.Swarm.NodeAddr}}")


def daemon(node: Node) -> tuple[str, int]:
    """(process id, bytes of memory in use) of the node's swarmd."""
    pid = command(node, "pgrep", "-f", "^python3 -m orchestrator").output.split()[0]
    status = command(node, "cat", f"/proc/{pid}/status").output
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return pid, int(found[1]) * 1024


def test_it_reaches_nothing_but_the_root_certificate(swarm: Cluster, stranger: Any) -> None:
    succeed(swarm.leader, "node", "ls")
    managers = 0
    for node in swarm.nodes:
        found = ask(stranger, "explore", address_of(node))
        # No engine's API, no name server, nobody's Docker API: whatever listens says nothing to a stranger.
        assert found["answered"] == {}, found
        if found["ca"] is None:
            assert not succeed(swarm.leader, "node", "inspect", "--format", "{{.ManagerStatus}}", node.name) or managers
            continue
        managers += 1
        assert found["ca"].strip() == succeed(swarm.leader, "swarm", "ca")
        assert set(found["refused"].values()) == {403}, found
        assert found["join"] in (400, 421), found
    assert managers >= 1


def test_its_garbage_harms_nobody(swarm: Cluster, stranger: Any, deploy: Any) -> None:
    web: Service = deploy(replicas=2)
    before = {node.name: daemon(node) for node in swarm.nodes}
    leader = swarm.leader.name
    for seed, node in enumerate(swarm.nodes):
        assert ask(stranger, "throw", address_of(node), str(seed))["thrown"] > 100
    for node in swarm.nodes:
        pid, memory = daemon(node)
        assert pid == before[node.name][0], f"swarmd of {node.name} was restarted"
        assert memory - before[node.name][1] < MEMORY_GROWTH_BYTES, (memory, before[node.name])
        sys.stdout.write(f"{node.name}: swarmd {before[node.name][1] >> 20} MiB before, {memory >> 20} MiB after\n")
    assert swarm.leader.name == leader
    states = succeed(swarm.leader, "node", "ls", "--format", "{{.Status}}").split()
    assert states == ["Ready"] * len(swarm.nodes)
    web.scale(3)


def test_strangers_that_hold_connections_shut_nobody_out(swarm: Cluster, stranger: Any) -> None:
    held = ask(stranger, "hold", address_of(swarm.leader))
    assert held["open"] < 200, held
    for node in swarm.nodes:
        succeed(node, "info")
    assert succeed(swarm.leader, "node", "ls", "--format", "{{.Status}}").split() == ["Ready"] * len(swarm.nodes)
