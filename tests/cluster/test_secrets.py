"""Secrets and configs on a real cluster: seen by the tasks that name them, by nobody else, and rotated under load."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until

pytestmark = pytest.mark.cluster

OLD, NEW = "pa55-of-yesterday", "pa55-of-today"
DISKS = ("/var/lib", "/etc", "/root", "/tmp", "/opt")


@pytest.fixture
def secrets(swarm: Cluster) -> Iterator[dict[str, str]]:
    """Secrets "old" and "new" and the config "settings"; name -> id."""
    api = swarm.api
    made = {name: api.create_secret(name, value.encode())["ID"] for name, value in (("old", OLD), ("new", NEW))}
    settings = api.create_config("settings", b"color=red\n")["ID"]
    yield {**made, "settings": settings}
    for service in swarm.services:
        service.remove()
    for secret_id in made.values():
        api.remove_secret(secret_id)
    api.remove_config(settings)


def docker(node: Node, *arguments: str) -> str:
    """What the stock CLI in the node prints. Fails the test when it fails."""
    status, output = node.container.exec_run(["docker", *arguments])
    assert status == 0, output.decode(errors="replace")
    text: str = output.decode()
    return text


def update(service: Service, *options: str) -> None:
    """A rolling update by the stock CLI, waited for."""
    superseded = [task["ID"] for task in service.tasks()]
    docker(service.cluster.nodes[0], "service", "update", "--detach", "--quiet", *options, service.name)
    service.wait_converged(superseded=superseded)


def holds(node: Node, text: str, *places: str) -> list[str]:
    """Files below the places, on the node, that contain the text."""
    _, output = node.container.exec_run(["grep", "-rlsaF", text, *places])
    return str(output, "utf-8").split()


def in_tasks(service: Service, path: str) -> list[str]:
    """Content of a file as each running task sees it."""
    contents = []
    for task in service.tasks():
        if task["Status"]["State"] == "running":
            process = task["Status"]["ContainerStatus"]["PID"]
            _, output = service.cluster.node_of(task).container.exec_run(["cat", f"/proc/{process}/root{path}"])
            contents.append(output.decode())
    return contents


def test_rotation_under_load_loses_nothing(deploy: Callable[..., Service], load: Load, secrets: dict[str, str]) -> None:
    web = deploy(replicas=3)
    update(web, "--secret-add", "source=old,target=password", "--config-add", "source=settings,target=/etc/settings")
    assert in_tasks(web, "/run/secrets/password") == [OLD] * 3
    assert in_tasks(web, "/etc/settings") == ["color=red\n"] * 3

    with load(web) as run:
        update(web, "--secret-rm", "old", "--secret-add", "source=new,target=password")

    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()
    assert in_tasks(web, "/run/secrets/password") == [NEW] * 3


def test_a_secret_is_only_where_a_task_needs_it_and_on_no_disk(
    swarm: Cluster, deploy: Callable[..., Service], secrets: dict[str, str]
) -> None:
    if swarm.engine.name == "docker":
        pytest.skip("where Docker keeps its secrets is its own affair")
    last = swarm.nodes[-1]
    web = deploy(replicas=1, constraints=[f"node.hostname=={last.name}"])
    update(web, "--secret-add", "old")
    assert in_tasks(web, "/run/secrets/old") == [OLD]

    assert [node.name for node in swarm.nodes if holds(node, OLD, "/run", "/dev/shm")] == [last.name]
    assert {node.name: holds(node, OLD, *DISKS) for node in swarm.nodes} == {node.name: [] for node in swarm.nodes}

    web.remove()
    wait_until(lambda: _is_clean(last), what="the secret to be erased", timeout=20.0)


def test_a_template_is_filled_in_for_each_task(
    swarm: Cluster, deploy: Callable[..., Service], secrets: dict[str, str]
) -> None:
    template = '{{.Service.Name}} {{.Task.Slot}} {{.Node.Hostname}} {{env "COLOR"}} {{secret "password"}}'
    created = swarm.api.create_config("greeting", template.encode(), templating={"name": "golang"})
    try:
        web = deploy(replicas=2, env={"COLOR": "red"})
        update(web, "--secret-add", "source=old,target=password", "--config-add", "source=greeting,target=/greeting")
        running = [task for task in web.tasks() if task["Status"]["State"] == "running"]
        wanted = [f"web {task['Slot']} {swarm.node_of(task).name} red {OLD}" for task in running]
        assert len(wanted) == 2
        assert in_tasks(web, "/greeting") == wanted
        web.remove()
    finally:
        swarm.api.remove_config(created["ID"])


def test_a_secret_in_use_stays(swarm: Cluster, deploy: Callable[..., Service], secrets: dict[str, str]) -> None:
    web = deploy(replicas=1)
    update(web, "--secret-add", "old")
    status, output = swarm.nodes[0].container.exec_run(["docker", "secret", "rm", "old"])
    assert status == 1
    in_use = "rpc error: code = InvalidArgument desc = secret 'old' is in use by the following service: web"
    assert in_use in output.decode()


def _is_clean(node: Node) -> Done[None] | NotYet:
    found = holds(node, OLD, "/run")
    return NotYet(f"{node.name} still has {', '.join(found)}") if found else Done(None)
