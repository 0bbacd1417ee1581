"""Withdrawal by itself: no task is told to stop before every node has acknowledged that it sends nothing there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import DeadlineExceeded, Done, NotYet, wait_until
from tests.cluster.command_line import begin_update
from tests.cluster.conftest import IMAGE, QUICK
from tests.cluster.faults import probes

pytestmark = pytest.mark.cluster

# Withdrawal and drain of such a task take 0.3 s when every node hears of them.
HELD_BACK_SECONDS = 3.0
REQUESTS = 100
NEW = f"{IMAGE}:2"


@pytest.fixture(autouse=True)
def _has_swarmd(swarm: Cluster) -> None:
    if swarm.engine.name == "docker":
        pytest.skip("the acknowledged withdrawal is ours: Docker's swarm mode has no such step")


@contextmanager
def hearing_nothing(node: Node) -> Iterator[None]:
    """Halt the node's `swarmd`: what the node forwards goes on as it was."""
    swarmd = probes.process(node, "-f", "^python3 -m orchestrator$")
    node.run_command(["kill", "-STOP", swarmd])
    try:
        yield
    finally:
        node.run_command(["kill", "-CONT", swarmd])


def deploy_elsewhere(swarm: Cluster, deploy: Callable[..., Service], **arguments: object) -> tuple[Service, Node]:
    """The service on the managers, and the worker that only forwards to them."""
    node = swarm.nodes[-1]
    web = deploy(replicas=3, constraints=["node.role==manager"], env=QUICK, **arguments)
    return web, node


def wait_until_one(web: Service, is_so: Callable[[dict[str, Any]], bool], *, what: str, timeout: float) -> None:
    def one_is() -> Done[None] | NotYet:
        return Done(None) if any(map(is_so, web.tasks())) else NotYet("none is")

    wait_until(one_is, what=what, timeout=timeout)


def is_to_stop(task: dict[str, Any]) -> bool:
    return bool(task["DesiredState"] == "shutdown")


def has_stopped(task: dict[str, Any]) -> bool:
    return bool(task["Status"]["State"] == "shutdown")


def test_a_task_runs_on_until_the_last_node_has_acknowledged(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    web, node = deploy_elsewhere(swarm, deploy)

    with load(web, users=1, requests=REQUESTS, targets=(node.name,)) as run:
        with hearing_nothing(node):
            begin_update(swarm.leader, web.name, "--image", NEW)
            wait_until_one(web, is_to_stop, what="the first task to be replaced", timeout=30.0)
            with pytest.raises(DeadlineExceeded):
                wait_until_one(web, has_stopped, what="it to stop", timeout=HELD_BACK_SECONDS)
        web.wait_converged(NEW)

    assert run.lost == 0, run.explain()
    assert run.versions == {"1", "2"}


def test_without_it_the_node_sends_to_tasks_that_are_gone(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    web, node = deploy_elsewhere(swarm, deploy, labels={"swarm.withdraw": "off"})

    with load(web, users=1, requests=REQUESTS, targets=(node.name,)) as run, hearing_nothing(node):
        begin_update(swarm.leader, web.name, "--image", NEW)
        web.wait_converged(NEW)

    assert run.lost > 0, run.explain()
    assert not any(loss.received for loss in run.ledger.losses), run.explain()
