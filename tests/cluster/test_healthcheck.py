"""Healthchecks end to end: no traffic before the first success, replaced after turning unhealthy, or switched off."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.service import Service
from pytest_swarm.service_spec import Healthcheck
from pytest_swarm.waiting import Done, NotYet, wait_until

pytestmark = pytest.mark.cluster

CHECK = Healthcheck(test=["CMD", "/docker-swarm-test", "--check"], interval=0.5, retries=3, start_period=10.0)
FLAG = "/tmp/sick"
BREAKABLE = Healthcheck(test=["CMD-SHELL", f"test ! -e {FLAG}"], interval=0.5, retries=2)


def test_an_update_of_slow_starters_loses_nothing(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=2, healthcheck=CHECK, env={"BOOT_SECONDS": "2"})

    with load(web, requests=300) as run:
        web.update(image="docker-swarm-test:2")

    assert run.lost == 0, run.explain()
    assert run.versions == {"1", "2"}


def test_a_task_that_turns_unhealthy_is_replaced(swarm: Cluster, deploy: Callable[..., Service]) -> None:
    web = deploy(replicas=1, healthcheck=BREAKABLE)
    (sick,) = [task for task in web.tasks() if task["Status"]["State"] == "running"]
    names = {node["ID"]: node["Description"]["Hostname"] for node in swarm.api.nodes()}
    node = swarm.node(names[sick["NodeID"]])
    process = sick["Status"]["ContainerStatus"]["PID"]
    node.run_command(["mkdir", "-p", f"/proc/{process}/root/tmp"])
    node.run_command(["touch", f"/proc/{process}/root{FLAG}"])

    def replaced() -> Done[None] | NotYet:
        tasks = {task["ID"]: task["Status"] for task in web.tasks()}
        running = [task_id for task_id, status in tasks.items() if status["State"] == "running"]
        if tasks[sick["ID"]]["State"] != "failed" or not running:
            return NotYet(f"{tasks[sick['ID']]['State']}, {len(running)} running")
        return Done(None)

    wait_until(replaced, what="the sick task to be replaced", timeout=60.0)
    status = next(task["Status"] for task in web.tasks() if task["ID"] == sick["ID"])
    assert "unhealthy container" in status["Err"]


def test_without_its_healthcheck_a_service_runs_again(swarm: Cluster, deploy: Callable[..., Service]) -> None:
    web = deploy(replicas=1, healthcheck=CHECK)
    superseded = [task["ID"] for task in web.tasks()]
    swarm.nodes[0].run_command(["docker", "service", "update", "--detach", "--quiet", "--no-healthcheck", web.name])
    web.wait_converged(superseded=superseded)
    assert web.inspect()["Spec"]["TaskTemplate"]["ContainerSpec"]["Healthcheck"]["Test"] == ["NONE"]
