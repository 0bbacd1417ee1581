"""The stock CLI's commands for services and nodes do to the tasks' containers what they do in Docker's swarm mode."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.command_line import (
    IMAGE,
    NEXT_IMAGE,
    command,
    containers_of,
    docker,
    remove_services,
    succeed,
    tasks_of,
    wait_for_update,
)

pytestmark = pytest.mark.cluster

SECOND = 1_000_000_000
# The images name no command of their own.
SERVE = ("--entrypoint", "/docker-swarm-test")
# Without these a test waits out the CLI's five seconds of watching after every change.
QUICK = ("--update-monitor", "500ms", "--rollback-monitor", "500ms", "--stop-grace-period", "1s")
OPTIONS = shlex.split("""
    --replicas 1 --publish 9200:8080 --env GREETING=hello --label tier=web --constraint node.role==manager
    --container-label inner=yes --mount type=volume,source=data,target=/data
    --mount type=tmpfs,target=/scratch,tmpfs-size=1048576
    --update-parallelism 2 --update-delay 1s --update-order start-first --update-failure-action rollback
    --update-max-failure-ratio 0.5 --rollback-parallelism 0 --rollback-order stop-first
    --restart-condition on-failure --restart-delay 2s --restart-max-attempts 3 --restart-window 1m
    --stop-signal SIGINT --health-cmd true --health-interval 1s --health-timeout 2s --health-retries 2
    --limit-cpu 0.5 --limit-memory 64m --limit-pids 100 --reserve-cpu 0.1 --reserve-memory 16m
    --hostname web-{{.Task.Slot}} --workdir /tmp --user 0:0 --init --read-only --cap-add NET_ADMIN
    --ulimit nofile=100:200
""")
ADDITIONS = {
    "env": ("A=1", "A"),
    "label": ("x=y", "x"),
    "container-label": ("x=y", "x"),
    "constraint": ("node.role==worker", "node.role==worker"),
    "placement-pref": ("spread=node.labels.zone", "spread=node.labels.zone"),
    "mount": ("type=volume,source=data,target=/data", "/data"),
    "host": ("backend:10.1.2.3", "backend:10.1.2.3"),
    "dns": ("10.1.2.3", "10.1.2.3"),
    "dns-option": ("ndots:2", "ndots:2"),
    "dns-search": ("example.com", "example.com"),
    "ulimit": ("nofile=100:200", "nofile"),
    "sysctl": ("net.core.somaxconn=1000", "net.core.somaxconn"),
    "group": ("audio", "audio"),
    "publish": ("published=9201,target=8081", "8081"),
}
"""Option of `docker service update` -> (what `--x-add` takes, what `--x-rm` takes)."""


@pytest.fixture
def manager(swarm: Cluster) -> Iterator[Node]:
    """A manager; its services are removed after the test."""
    node = swarm.nodes[0]
    yield node
    remove_services(node)


def create(node: Node, *arguments: str) -> None:
    succeed(node, "service", "create", "--detach", "--name", "web", *QUICK, *arguments)


def without_empty(value: Any) -> Any:
    """The JSON value without what says nothing, at any depth: the CLI leaves an empty list where there was none."""
    if isinstance(value, dict):
        kept = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [], None)}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def container_of(swarm: Cluster, service: str = "web") -> Any:
    def find() -> Done[Any] | NotYet:
        found = containers_of(swarm.nodes, service)
        return Done(found[0]) if found else NotYet("no container runs")

    return wait_until(find, what=f"a container of {service}", timeout=30.0)


def test_create_shows_its_progress_and_reaches_the_container(swarm: Cluster, manager: Node) -> None:
    text = succeed(manager, "service", "create", "--name", "web", *QUICK, *OPTIONS, *SERVE, IMAGE)
    assert "verify: Service " in text
    assert text.rstrip().endswith("converged")

    container = container_of(swarm).attrs
    config, host = container["Config"], container["HostConfig"]
    assert "GREETING=hello" in config["Env"]
    assert config["Hostname"] == "web-1"
    assert (config["WorkingDir"], config["User"], config["StopSignal"]) == ("/tmp", "0:0", "SIGINT")
    assert config["Labels"]["inner"] == "yes"
    assert config["Labels"]["com.docker.swarm.service.name"] == "web"
    assert config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "true"],
        "Interval": SECOND,
        "Timeout": 2 * SECOND,
        "Retries": 2,
    }
    assert {mount["Destination"] for mount in container["Mounts"]} >= {"/data"}
    assert (host["NanoCpus"], host["Memory"], host["PidsLimit"]) == (SECOND // 2, 64 * 2**20, 100)
    assert host["MemoryReservation"] == 0
    assert (host["Init"], host["ReadonlyRootfs"]) == (True, True)
    assert host["CapAdd"] == ["CAP_NET_ADMIN"]
    assert host["Ulimits"] == [{"Name": "nofile", "Hard": 200, "Soft": 100}]
    assert host["RestartPolicy"]["Name"] == "no"

    pretty = " ".join(succeed(manager, "service", "inspect", "--pretty", "web").split())
    for part in (
        "tier=web",
        "Constraints: [node.role==manager]",
        "UpdateConfig: Parallelism: 2 Delay: 1s On failure: rollback Monitoring Period: 500ms Max failure ratio: 0.5 "
        "Update order: start-first",
        "RollbackConfig: Parallelism: 0 On failure: pause",
        "PublishedPort = 9200",
    ):
        assert part in pretty
    row = "{{.Name}} {{.Mode}} {{.Replicas}} {{.Image}} {{.Ports}}"
    assert succeed(manager, "service", "ls", "--format", row) == f"web replicated 1/1 {IMAGE} *:9200->8080/tcp"


def test_scale_update_rollback_force_and_remove(swarm: Cluster, manager: Node) -> None:
    create(manager, *SERVE, IMAGE)
    assert "verify: Service web converged" in succeed(manager, "service", "scale", "web=3")
    assert len(tasks_of(manager, "web")) == 3

    changes = ["--image", NEXT_IMAGE, "--env-add", "A=1", "--label-add", "x=y", "--update-parallelism", "0"]
    assert "verify: Service web converged" in succeed(manager, "service", "update", *changes, "web")
    running = succeed(manager, "service", "ps", "--filter", "desired-state=running", "--format", "{{.Image}}", "web")
    assert running.split() == [NEXT_IMAGE] * 3
    assert "A=1" in container_of(swarm).attrs["Config"]["Env"]

    assert "verify: Service web converged" in succeed(manager, "service", "rollback", "web")
    text = succeed(
        manager,
        "service",
        "inspect",
        "--format",
        "{{.UpdateStatus.State}} {{.Spec.TaskTemplate.ContainerSpec.Image}}",
        "web",
    )
    assert text == f"rollback_completed {IMAGE}"

    succeed(manager, "service", "scale", "--detach", "web=1")
    succeed(manager, "service", "update", "--force", "--args", "again", "web")
    spec = json.loads(succeed(manager, "service", "inspect", "--format", "{{json .Spec.TaskTemplate}}", "web"))
    assert spec["ForceUpdate"] == 1
    assert container_of(swarm).attrs["Config"]["Cmd"] == ["again"]

    assert succeed(manager, "service", "rm", "web") == "web"

    def gone() -> Done[None] | NotYet:
        left = containers_of(swarm.nodes, "web")
        return NotYet(f"{len(left)} containers run") if left else Done(None)

    wait_until(gone, what="the end of the service's containers", timeout=30.0)


def test_what_one_update_adds_another_takes_away(manager: Node) -> None:
    def spec() -> Any:
        return without_empty(json.loads(succeed(manager, "service", "inspect", "--format", "{{json .Spec}}", "web")))

    create(manager, "--replicas", "0", *SERVE, IMAGE)
    before = spec()
    added = [word for name, (value, _) in ADDITIONS.items() for word in (f"--{name}-add", value)]
    succeed(manager, "service", "update", "--detach", *added, "web")
    text = json.dumps(spec())
    missing = [name for name, (_, value) in ADDITIONS.items() if value.split(":")[-1].split("=")[-1] not in text]
    assert not missing

    removed = [word for name, (_, value) in ADDITIONS.items() for word in (f"--{name}-rm", value)]
    succeed(manager, "service", "update", "--detach", *removed, "web")
    assert spec() == before


@pytest.mark.parametrize(
    ("action", "state", "message"),
    [
        ("pause", "paused", "update paused due to failure or early termination of task"),
        ("rollback", "rollback_completed", "rollback completed"),
    ],
)
@pytest.mark.parametrize(
    "change", [["--image", "nowhere:1"], ["--entrypoint", "/nowhere"]], ids=["no image", "no command"]
)
def test_failing_update(manager: Node, action: str, state: str, message: str, change: list[str]) -> None:
    create(manager, "--update-failure-action", action, *SERVE, IMAGE)
    succeed(manager, "service", "update", "--detach", *change, "web")
    assert message in wait_for_update(manager, "web", state)


def test_restarts_keep_their_delay_and_their_limit(manager: Node) -> None:
    policy = ["--restart-delay", "1s", "--restart-max-attempts", "2"]
    create(manager, *policy, "--entrypoint", "python3", IMAGE, "-c", "raise SystemExit(3)")

    def given_up() -> Done[None] | NotYet:
        tasks = tasks_of(manager, "web")
        over = len(tasks) == 3 and all(task["DesiredState"] == "Shutdown" for task in tasks)
        return Done(None) if over else NotYet(str(tasks))

    wait_until(given_up, what="the third and last attempt", timeout=30.0)
    assert {task["Error"] for task in tasks_of(manager, "web")} == {'"task: non-zero exit (3)"'}


def test_image_that_is_nowhere_is_tried_once_in_a_delay(manager: Node) -> None:
    create(manager, "--restart-delay", "30s", "nowhere:1")

    def rejected_twice() -> Done[None] | NotYet:
        states = [task["CurrentState"].split()[0] for task in tasks_of(manager, "web")]
        return Done(None) if states == ["Rejected", "Rejected"] else NotYet(str(states))

    wait_until(rejected_twice, what="the first attempt and the one prepared for later", timeout=20.0)
    index = succeed(manager, "service", "ps", "--quiet", "web")
    # Any other command takes longer than the storm's attempts did.
    succeed(manager, "info", "--format", "{{.Swarm.Nodes}}")
    assert succeed(manager, "service", "ps", "--quiet", "web") == index


def test_completed_task_rests(manager: Node) -> None:
    create(manager, "--restart-condition", "on-failure", "--entrypoint", "python3", IMAGE, "-c", "pass")

    def complete() -> Done[None] | NotYet:
        (task,) = tasks_of(manager, "web")
        return Done(None) if task["CurrentState"].startswith("Complete") else NotYet(str(task))

    wait_until(complete, what="the task's end", timeout=20.0)
    assert succeed(manager, "service", "ls", "--format", "{{.Replicas}}") == "0/1"


def test_logs_exec_and_attach(swarm: Cluster, manager: Node) -> None:
    script = "import time; print('begun', flush=True); time.sleep(600)"
    create(manager, "--label", "swarm.readiness=off", "--entrypoint", "python3", IMAGE, "-c", script)

    def logged() -> Done[None] | NotYet:
        text = succeed(manager, "service", "logs", "--raw", "web")
        return Done(None) if text == "begun" else NotYet(text)

    wait_until(logged, what="the task's output", timeout=20.0)
    assert succeed(manager, "service", "logs", "web").startswith("web.1.")

    container = container_of(swarm)
    node = next(each for each in swarm.nodes if containers_of([each], "web"))
    assert succeed(node, "exec", container.id, "python3", "-c", "print(6 * 7)") == "42"
    piped = command(node, "sh", "-c", f"echo through | docker exec -i {container.id} python3 -c 'print(input())'")
    assert piped.output == "through\n"
    attached = command(
        node, "sh", "-c", f"(sleep 1; docker kill {container.id} >/dev/null) & docker attach --no-stdin {container.id}"
    )
    assert attached.status == 137


def test_nodes_are_listed_inspected_and_drained(swarm: Cluster, manager: Node) -> None:
    rows = succeed(manager, "node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}")
    assert sorted(line.split()[:3] for line in rows.splitlines()) == [
        [node.name, "Ready", "Active"] for node in swarm.nodes
    ]
    assert sum("Leader" in line for line in rows.splitlines()) == 1

    create(manager, "--replicas", "2", *SERVE, IMAGE)
    last = swarm.nodes[-1].name
    assert succeed(manager, "node", "update", "--availability", "drain", last) == last
    pretty = " ".join(succeed(manager, "node", "inspect", "--pretty", last).split())
    assert "State: Ready Availability: Drain" in pretty

    def moved() -> Done[None] | NotYet:
        shown = succeed(manager, "node", "ps", "--filter", "desired-state=running", "--format", "{{.Name}}", last)
        return NotYet(shown) if shown else Done(None)

    wait_until(moved, what="an empty node", timeout=30.0)
    succeed(manager, "node", "update", "--availability", "active", "--label-add", "zone=a", last)
    assert succeed(manager, "node", "inspect", "--format", "{{.Spec.Labels.zone}}", last) == "a"
    succeed(manager, "node", "update", "--label-rm", "zone", last)


def test_join_tokens_and_info(swarm: Cluster, manager: Node) -> None:
    shown = succeed(manager, "swarm", "join-token", "worker")
    token = succeed(manager, "swarm", "join-token", "--quiet", "worker")
    assert shown.startswith("To add a worker to this swarm, run the following command:")
    assert f"docker swarm join --token {token} " in shown
    assert token != succeed(manager, "swarm", "join-token", "--quiet", "manager")
    assert "Successfully rotated worker join token." in succeed(manager, "swarm", "join-token", "--rotate", "worker")
    assert token != succeed(manager, "swarm", "join-token", "--quiet", "worker")

    row = "{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}} {{.Swarm.Nodes}} {{.Swarm.Managers}}"
    assert succeed(manager, "info", "--format", row) == f"active true {len(swarm.nodes)} {swarm.managers}"
    assert docker(manager, "version").status == 0
