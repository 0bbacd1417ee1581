"""The cluster's root certificate is replaced while its service is asked all the time, by the stock CLI."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.manager.authority import new_root
from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.command_line import command, docker, succeed

pytestmark = pytest.mark.cluster


def tls_of_nodes(asked: Node) -> set[str]:
    """What every node says of its certificate and whom it trusts."""
    ids = succeed(asked, "node", "ls", "--quiet").split()
    nodes: list[dict[str, Any]] = json.loads(succeed(asked, "node", "inspect", *ids))
    return {json.dumps(node["Description"]["TLSInfo"], sort_keys=True) for node in nodes}


def tokens(asked: Node) -> set[str]:
    return {succeed(asked, "swarm", "join-token", "--quiet", role) for role in ("worker", "manager")}


def rotated(asked: Node, *arguments: str) -> str:
    """Replace the root as the CLI does it, which waits until every node has followed; returns the new one."""
    before, old = succeed(asked, "swarm", "ca"), tokens(asked)
    answer = docker(asked, "swarm", "ca", "--rotate", *arguments)
    assert answer.status == 0, answer
    after = succeed(asked, "swarm", "ca")
    assert after != before
    assert after in answer.output
    (tls,) = tls_of_nodes(asked)
    assert json.loads(tls)["TrustRoot"].strip() == after
    assert not old & tokens(asked)
    return after


def test_nothing_is_lost_while_the_root_is_replaced(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3)
    started = {task["ID"] for task in web.tasks()}
    with load(web, requests=200) as run:
        rotated(swarm.nodes[0])
        rotated(swarm.nodes[-1] if len(swarm.nodes) < 4 else swarm.nodes[1])
    assert run.lost == 0, run.explain()
    assert {task["ID"] for task in web.tasks()} == started


def test_a_node_joins_by_the_new_token_only(swarm: Cluster) -> None:
    leader, worker = swarm.leader, swarm.nodes[-1]
    old = succeed(leader, "swarm", "join-token", "--quiet", "worker")
    rotated(leader)
    node_id = succeed(worker, "info", "--format", "{{.Swarm.NodeID}}")
    address = succeed(leader, "info", "--format", "{{.Swarm.NodeAddr}}")
    succeed(worker, "swarm", "leave", "--force")
    refused = docker(worker, "swarm", "join", "--token", old, f"{address}:2377")
    assert "remote CA does not match fingerprint" in refused.error
    token = succeed(leader, "swarm", "join-token", "--quiet", "worker")
    succeed(worker, "swarm", "join", "--token", token, f"{address}:2377")
    succeed(leader, "node", "rm", "--force", node_id)
    swarm.wait_ready()


def test_the_user_s_own_root(swarm: Cluster) -> None:
    leader = swarm.leader
    certificate, key = (pem.strip() for pem in new_root(time.time()))
    for name, text in (("root.pem", certificate), ("root-key.pem", key)):
        command(leader, "sh", "-c", f"umask 077; printf '%s\n' '{text}' >/tmp/{name}")
    assert rotated(leader, "--ca-cert", "/tmp/root.pem", "--ca-key", "/tmp/root-key.pem") == certificate
    # Another setting changes nothing about it.
    succeed(leader, "swarm", "update", "--task-history-limit", "5")
    assert succeed(leader, "swarm", "ca") == certificate
    rotated(leader)


def test_a_restarted_daemon_goes_on_with_the_root_it_followed(swarm: Cluster) -> None:
    node = swarm.nodes[-1]
    rotated(swarm.leader)
    command(node, "pkill", "-KILL", "-f", "^python3 -m orchestrator")

    def look() -> Done[None] | NotYet:
        answer = docker(swarm.leader, "node", "ls", "--format", "{{.Hostname}} {{.Status}}")
        return Done(None) if f"{node.name} Ready" in answer.output else NotYet(answer.output or answer.error)

    wait_until(look, what=f"{node.name} to be back", timeout=30)
