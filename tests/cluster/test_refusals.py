"""What the stock CLI is told when a request cannot be met: the very words and codes of Docker 26.1.5.

Each row was recorded from Docker's own swarm mode, in the same node image.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.command_line import (
    IMAGE,
    command,
    containers_of,
    docker,
    remove_services,
    request,
    succeed,
    tasks_of,
)

pytestmark = pytest.mark.cluster

DAEMON = "Error response from daemon: "
INVALID = f"{DAEMON}rpc error: code = InvalidArgument desc = "
UNKNOWN = f"{DAEMON}rpc error: code = Unknown desc = "
NOT_A_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager."
)
ALREADY_MEMBER = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)
# One request to a registry that nobody answers takes far longer than all that is asked here.
MISSED_SECONDS = 4.0
SPEC = {"Name": "new", "TaskTemplate": {"ContainerSpec": {"Image": IMAGE}}, "Mode": {"Replicated": {"Replicas": 1}}}

CREATIONS = {
    "--name taken": f"{DAEMON}rpc error: code = AlreadyExists desc = name conflicts with an existing object: "
    "service taken already exists",
    "--constraint nonsense": f"{UNKNOWN}constraint expected one operator from ==, !=",
    "--constraint !!==1": f"{UNKNOWN}key '!!' is invalid",
    "--constraint node.role==": f"{UNKNOWN}value '' is invalid",
    "--publish 9001:80 --publish 9001:81": f"{INVALID}EndpointSpec: duplicate published ports provided",
    "--endpoint-mode dnsrr --publish 9001:80": f"{INVALID}EndpointSpec: port published with ingress mode can't be "
    "used with dnsrr mode",
    "--limit-memory 1m": f"{INVALID}invalid memory value 1048576: Must be at least 4MiB",
    "--limit-cpu 0.0001": f"{INVALID}invalid cpu value 0.0001: Must be at least 0.001",
    "--mount type=bogus,target=/x": f'{DAEMON}invalid MountType: "bogus"',
    "--mount type=volume,source=v,target=/x --mount type=volume,source=w,target=/x": f"{INVALID}ContainerSpec: "
    "duplicate mount point: /x",
    "--update-delay -1s": f"{INVALID}TaskSpec: update-delay cannot be negative",
    "--update-monitor -1s": f"{INVALID}TaskSpec: update-monitor cannot be negative",
    "--update-max-failure-ratio 2": f"{INVALID}TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
    "--update-order bogus": f"{DAEMON}unrecognized update order bogus",
    "--update-failure-action bogus": f"{DAEMON}unrecognized update failure action bogus",
    "--restart-delay -1s": f"{INVALID}TaskSpec: restart-delay cannot be negative",
    "--restart-condition bogus": f'{DAEMON}invalid RestartCondition: "bogus"',
    "--health-cmd true --health-interval 10us": f"{INVALID}ContainerSpec: Interval in HealthConfig cannot be less "
    "than 1ms",
    "--network nowhere": f"{DAEMON}network nowhere not found",
}

COMMANDS = {
    "service inspect nowhere": "Status: Error: no such service: nowhere, Code: 1",
    "service ps nowhere": "no such service: nowhere",
    "service logs nowhere": "no such task or service: nowhere",
    "service rm nowhere": f"{DAEMON}service nowhere not found",
    "service update --force nowhere": f"{DAEMON}service nowhere not found",
    "service scale taken=-1": 'taken: invalid replicas value -1: strconv.ParseUint: parsing "-1": invalid syntax',
    "service ls --filter bogus=1": f"{DAEMON}invalid filter 'bogus'",
    "node update --availability drain nowhere": f"{DAEMON}node nowhere not found",
    "node rm nowhere": f"{DAEMON}node nowhere not found",
    "swarm init": f"{DAEMON}{ALREADY_MEMBER}",
    "swarm join --token nonsense 10.255.255.1:2377": f"{DAEMON}{ALREADY_MEMBER}",
    "swarm update --cert-expiry 1s": f"{INVALID}minimum certificate expiry time is: 1h0m0s",
}

NEGATIVE = "invalid JSON: json: cannot unmarshal number -1 into Go struct field"
REQUESTS = [
    ("GET", "/services/nowhere", None, 404, "service nowhere not found"),
    ("DELETE", "/services/nowhere", None, 404, "service nowhere not found"),
    ("GET", "/tasks/nowhere", None, 404, "task nowhere not found"),
    ("GET", "/nodes/nowhere", None, 404, "node nowhere not found"),
    ("GET", "/swarm/nowhere", None, 404, "page not found"),
    ("POST", "/services/create", {}, 400, "mismatched Runtime and *Spec fields"),
    (
        "POST",
        "/services/create",
        {**SPEC, "Mode": {"Replicated": {"Replicas": -1}}},
        400,
        f"{NEGATIVE} ReplicatedService.Mode.Replicated.Replicas of type uint64",
    ),
    (
        "POST",
        "/services/create",
        {**SPEC, "TaskTemplate": {**SPEC["TaskTemplate"], "ForceUpdate": -1}},  # type: ignore[dict-item]
        400,
        f"{NEGATIVE} TaskSpec.TaskTemplate.ForceUpdate of type uint64",
    ),
    ("POST", "/services/create", {**SPEC, "Name": "taken"}, 409, "service taken already exists"),
    ("POST", "/services/taken/update?version=1", {**SPEC, "Name": "taken"}, 500, "update out of sequence"),
    ("POST", "/services/taken/update", {**SPEC, "Name": "taken"}, 400, "invalid service version ''"),
    ("POST", "/swarm/update?version=999999", {"Name": "default"}, 500, "update out of sequence"),
    ("GET", "/services?filters={bad", None, 400, "invalid filter"),
]


@pytest.fixture(autouse=True, scope="module")
def manager(swarm: Cluster) -> Iterator[Node]:
    """A manager of a cluster that has a service named `taken`, published on port 9000."""
    node = swarm.nodes[0]
    succeed(node, "service", "create", "-d", "--name", "taken", "--replicas", "0", "--publish", "9000:8080", IMAGE)
    yield node
    remove_services(node)


@pytest.mark.parametrize("arguments", CREATIONS)
def test_creation_is_refused(manager: Node, arguments: str) -> None:
    # The flag's last value counts: a name among the arguments overrides the first one.
    answer = docker(manager, "service", "create", "-d", "--name", "new", *arguments.split(), IMAGE)
    assert (answer.status, answer.error.strip()) == (1, CREATIONS[arguments])


@pytest.mark.parametrize("arguments", COMMANDS)
def test_command_is_refused(manager: Node, arguments: str) -> None:
    answer = docker(manager, *arguments.split())
    assert (answer.status, (answer.error.strip() or answer.lines[-1])) == (1, COMMANDS[arguments])


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), REQUESTS)
def test_request_is_refused(manager: Node, method: str, path: str, body: object, status: int, message: str) -> None:
    text = None if body is None else json.dumps(body)
    answered, answer = request(manager, method, path, text)
    assert answered == status
    assert message in json.loads(answer)["message"]


def test_malformed_json_is_refused(manager: Node) -> None:
    status, answer = request(manager, "POST", "/services/create", "{bad")
    assert status == 400
    assert json.loads(answer)["message"].startswith("invalid JSON: ")


@pytest.mark.parametrize("publish", ["9000:8080", "mode=host,published=9000,target=8080"])
def test_published_port_is_refused_to_a_second_service(manager: Node, publish: str) -> None:
    taken = succeed(manager, "service", "inspect", "--format", "{{.ID}}", "taken")
    answer = docker(manager, "service", "create", "-d", "--name", "new", "--publish", publish, IMAGE)
    text = f"{INVALID}port '9000' is already in use by service 'taken' ({taken}) as an ingress port"
    assert (answer.status, answer.error.strip()) == (1, text)


def test_leaving_needs_force_and_a_ready_node_is_not_removed(swarm: Cluster, manager: Node) -> None:
    answer = docker(manager, "swarm", "leave")
    assert answer.status == 1
    assert answer.error.startswith(f"{DAEMON}You are attempting to leave the swarm on a node that is participating")
    last = swarm.nodes[-1].name
    answer = docker(manager, "node", "rm", last)
    assert answer.status == 1
    assert "FailedPrecondition" in answer.error


@pytest.mark.parametrize(
    "arguments", ["node ls", "service ls", "service rm taken", "swarm join-token worker", f"service create {IMAGE}"]
)
def test_worker_refuses_a_manager_s_work(swarm: Cluster, arguments: str) -> None:
    if len(swarm.nodes) == swarm.managers:
        pytest.skip("every node is a manager")
    answer = docker(swarm.nodes[-1], *arguments.split())
    assert (answer.status, answer.error.strip()) == (1, f"{DAEMON}{NOT_A_MANAGER}")


def test_worker_answers_503(swarm: Cluster) -> None:
    if len(swarm.nodes) == swarm.managers:
        pytest.skip("every node is a manager")
    status, answer = request(swarm.nodes[-1], "GET", "/services")
    assert (status, json.loads(answer)) == (503, {"message": NOT_A_MANAGER})


@pytest.mark.parametrize(
    ("arguments", "image", "state", "error"),
    [
        ("", "nowhere:9", "Rejected", '"No such image: nowhere:9"'),
        (
            "--mount type=bind,source=/nowhere,target=/x",
            IMAGE,
            "Rejected",
            '"invalid mount config for type "bind": bind source path does not exist: /nowhere"',
        ),
        ("--stop-signal BOGUS", IMAGE, "Rejected", '"invalid signal: BOGUS"'),
        ("--constraint node.role==nothing", IMAGE, "Pending", '"no suitable node (scheduling constraints not '),
        ("--reserve-memory 9000g", IMAGE, "Pending", '"no suitable node (insufficient resources on '),
    ],
)
def test_task_says_why_it_does_not_run(manager: Node, arguments: str, image: str, state: str, error: str) -> None:
    options = ["--name", "stuck", "--restart-condition", "none", *arguments.split()]
    succeed(manager, "service", "create", "-d", *options, image)

    def stuck() -> Done[str] | NotYet:
        (task,) = tasks_of(manager, "stuck")
        if task["CurrentState"].startswith(state) and task["Error"]:
            return Done(task["Error"])
        return NotYet(str(task))

    try:
        assert wait_until(stuck, what="a task with an error", timeout=30.0).startswith(error)
    finally:
        succeed(manager, "service", "rm", "stuck")


def test_missing_image_is_missed_at_once(manager: Node) -> None:
    started = time.monotonic()
    answer = docker(manager, "pull", "nowhere:9")
    assert answer.status == 1
    assert "connection refused" in answer.error
    succeed(manager, "service", "create", "-d", "--name", "stuck", "--replicas", "0", "nowhere:9")
    assert time.monotonic() - started < MISSED_SECONDS
    succeed(manager, "service", "rm", "stuck")


def test_tasks_know_nothing_of_the_engine_s_proxy(swarm: Cluster, manager: Node) -> None:
    succeed(manager, "service", "create", "--quiet", "--name", "plain", IMAGE, "/docker-swarm-test")
    try:
        (task,) = containers_of(list(swarm.nodes), "plain")
        (host,) = [node for node in swarm.nodes if task in node.client.containers.list()]
        environment = command(host, "cat", f"/proc/{task.attrs['State']['Pid']}/environ").output
    finally:
        succeed(manager, "service", "rm", "plain")
    assert "PATH=" in environment
    assert "proxy" not in environment.lower()
