"""`docker stack` with a compose file, through the stock CLI of a node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until

pytestmark = pytest.mark.cluster

COMPOSE = """
services:
  web:
    image: docker-swarm-test:1
    command: [/docker-swarm-test]
    ports: ["8080:8080"]
    networks: {front: {aliases: [www]}}
    secrets: [token]
    configs: [{source: settings, target: /etc/settings, mode: 0440}]
    healthcheck: {test: [CMD, /docker-swarm-test, --check], interval: 500ms, retries: 3, start_period: 10s}
    stop_grace_period: 2s
    deploy:
      replicas: 2
      update_config: {order: start-first, parallelism: 1}
      resources: {limits: {memory: 128M}, reservations: {cpus: "0.01"}}
      labels: {tier: front}
  side:
    image: docker-swarm-test:1
    command: [/docker-swarm-test]
    networks: [front]
    deploy: {replicas: 1, placement: {constraints: [node.role == manager]}}
networks:
  front: {driver: overlay, attachable: true}
secrets:
  token: {file: ./token}
configs:
  settings: {file: ./settings}
"""


def docker(node: Node, *arguments: str) -> str:
    """What the stock CLI in the node prints. Fails the test when it fails."""
    status, output = node.container.exec_run(["docker", *arguments], workdir="/run")
    text: str = output.decode(errors="replace")
    assert status == 0, text
    return text


def rows(node: Node, *arguments: str) -> list[dict[str, Any]]:
    """What a listing command of the CLI shows, row by row."""
    return [json.loads(line) for line in docker(node, *arguments, "--format", "{{json .}}").splitlines()]


def test_a_stack_s_life(swarm: Cluster) -> None:
    node = swarm.nodes[0]
    for name, text in (("stack.yml", COMPOSE), ("token", "t0ken"), ("settings", "color=red")):
        node.run_command(["sh", "-c", f"cat >/run/{name} <<'END'\n{text}\nEND"])
    deploy = ("stack", "deploy", "--resolve-image", "never", "--detach=true", "-c", "stack.yml", "app")
    docker(node, *deploy)
    wait_until(lambda: _all_run(node), what="the stack's tasks", timeout=60.0)

    assert [(row["Name"], row["Services"]) for row in rows(node, "stack", "ls")] == [("app", "2")]
    assert {row["Name"] for row in rows(node, "stack", "ps", "app")} == {"app_web.1", "app_web.2", "app_side.1"}
    for kind in ("secret", "config"):
        (row,) = rows(node, kind, "ls", "--filter", "label=com.docker.stack.namespace=app")
        assert row["Name"] == {"secret": "app_token", "config": "app_settings"}[kind]

    # Again, unchanged: no task is replaced.
    before = docker(node, "stack", "ps", "-q", "app").split()
    docker(node, *deploy)
    assert sorted(docker(node, "stack", "ps", "-q", "app").split()) == sorted(before)

    docker(node, "stack", "rm", "--detach=true", "app")
    wait_until(lambda: _nothing_left(swarm), what="the stack to be gone from every node", timeout=60.0)
    for kind in ("secret", "config", "network"):
        assert rows(node, kind, "ls", "--filter", "label=com.docker.stack.namespace=app") == []


def _all_run(node: Node) -> Done[None] | NotYet:
    shown = {row["Name"]: row["Replicas"] for row in rows(node, "stack", "services", "app")}
    return Done(None) if shown == {"app_web": "2/2", "app_side": "1/1"} else NotYet(str(shown))


def _nothing_left(swarm: Cluster) -> Done[None] | NotYet:
    for node in swarm.nodes:
        left = node.client.api.containers(all=True, filters={"label": "com.docker.swarm.service.name"})
        if left:
            return NotYet(f"{len(left)} containers are left on {node.name}")
    return Done(None)
