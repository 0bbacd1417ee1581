"""The stock `docker` CLI inside a node, as a user of the cluster types it."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.phases import Operation
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until

IMAGE = "docker-swarm-test:1"
NEXT_IMAGE = "docker-swarm-test:2"
COMMAND_SECONDS = "60"
_READING = frozenset(("inspect", "ls", "ps", "info"))
# What the CLI says of every image that no registry knows; it is no part of an answer.
_NO_REGISTRY = re.compile(r"image \S+ could not be accessed on a registry.*?versions of the image\.\n*", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command wrote and how it ended."""

    status: int
    output: str
    error: str

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


def docker(node: Node, *arguments: str) -> Answer:
    """Run `docker` with the arguments, without a terminal and without a shell."""
    return command(node, "docker", *arguments)


def command(node: Node, *words: str) -> Answer:
    """Run any command in the node; one that does not end in time is ended, with status 124."""
    status, (output, error) = node.container.exec_run(["timeout", COMMAND_SECONDS, *words], demux=True)
    return Answer(status, (output or b"").decode(), _NO_REGISTRY.sub("", (error or b"").decode()))


def succeed(node: Node, *arguments: str) -> str:
    """Run `docker` and return what it wrote. Raises AssertionError, with the CLI's words, when it failed."""
    answer = docker(node, *arguments)
    if answer == Answer(0, "", "") and _READING.intersection(arguments[:2]):
        # The host's engine now and then ends an exec before its output has arrived; to read once more changes nothing.
        answer = docker(node, *arguments)
    assert answer.status == 0, f"docker {' '.join(arguments)}: {answer.error or answer.output}"
    return answer.output.strip()


def request(node: Node, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    """(HTTP status, text of the answer) of a request to the node's API as no client would send it."""
    sent = [] if body is None else ["-H", "Content-Type: application/json", "--data-raw", body]
    address = f"http://localhost/v1.45{path}"
    socket = ["--unix-socket", "/var/run/docker.sock", "--max-time", "30"]
    answer = command(node, "curl", "-sg", *socket, "-w", "%{http_code}", "-X", method, *sent, address)
    return int(answer.output[-3:]), answer.output[:-3]


def remove_services(node: Node) -> None:
    """Remove every service."""
    if names := succeed(node, "service", "ls", "--quiet").split():
        succeed(node, "service", "rm", *names)


def begin_update(node: Node, service: str, *arguments: str) -> None:
    """`docker service update`, as somebody types it who does not wait for its end."""
    succeed(node, "service", "update", "--detach", "--no-resolve-image", *arguments, service)


@contextmanager
def noted(cluster: Cluster, name: str) -> Iterator[None]:
    """Note what is done inside as an operation of this name, so that a load must meet it."""
    started = time.time()
    yield
    cluster.operations.append(Operation(name, started, time.time()))


def update_and_wait(service: Service, *options: str) -> None:
    """`docker service update`, waited for and noted."""
    superseded = [task["ID"] for task in service.tasks()]
    with noted(service.cluster, " ".join(options)):
        succeed(service.cluster.nodes[0], "service", "update", "--detach", "--quiet", *options, service.name)
        service.wait_converged(superseded=superseded)


def wait_for_update(node: Node, service: str, state: str) -> str:
    """Wait until the service's last update has come to the state; returns what its status says of it."""

    def reached() -> Done[str] | NotYet:
        text = succeed(node, "service", "inspect", "--format", "{{json .UpdateStatus}}", service)
        status = json.loads(text) or {}
        return Done(str(status["Message"])) if status.get("State") == state else NotYet(text)

    return wait_until(reached, what=f"update status {state} of {service}", timeout=60.0)


def tasks_of(node: Node, service: str) -> list[dict[str, str]]:
    """What `docker service ps` shows, newest first."""
    columns = ("Name", "Image", "Node", "DesiredState", "CurrentState", "Error")
    row = "|".join(f"{{{{.{column}}}}}" for column in columns)
    text = succeed(node, "service", "ps", "--no-trunc", "--format", row, service)
    return [dict(zip(columns, line.split("|"), strict=True)) for line in text.splitlines()]


def containers_of(nodes: Sequence[Node], service: str) -> list[Any]:
    """The running containers of a service, as their engines describe them."""
    wanted = {"label": f"com.docker.swarm.service.name={service}", "status": "running"}
    return [each for node in nodes for each in node.client.containers.list(filters=wanted, ignore_removed=True)]
