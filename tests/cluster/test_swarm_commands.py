"""The rest of the CLI's commands for a swarm: its settings and events, what networks can be told, what is refused."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.command_line import IMAGE, command, docker, remove_services, succeed, tasks_of

pytestmark = pytest.mark.cluster

SERVE = ("--detach", "--no-resolve-image", "--stop-grace-period", "1s")
SETTLE_SECONDS = 40.0
HISTORY = 2
PUT = 'printf %s "$1" | docker "$2" create "$3" -'


@pytest.fixture
def manager(swarm: Cluster) -> Iterator[Node]:
    """A manager; its services are removed after the test."""
    node = swarm.nodes[0]
    yield node
    remove_services(node)


def wait_running(node: Node, service: str, count: int) -> list[dict[str, str]]:
    """Wait until so many tasks of the service run, and no more are wanted; returns them."""

    def look() -> Done[list[dict[str, str]]] | NotYet:
        tasks = [task for task in tasks_of(node, service) if task["DesiredState"] == "Running"]
        running = [task for task in tasks if task["CurrentState"].startswith("Running")]
        return Done(running) if len(running) == len(tasks) == count else NotYet(str(tasks))

    return wait_until(look, what=f"{count} tasks of {service}", timeout=SETTLE_SECONDS)


def test_swarm_ca_prints_the_root(manager: Node) -> None:
    printed = succeed(manager, "swarm", "ca")
    assert printed.startswith("-----BEGIN CERTIFICATE-----")
    shown = json.loads(succeed(manager, "info", "--format", "{{json .Swarm.Cluster.TLSInfo}}"))
    assert shown["TrustRoot"].strip() == printed


def test_swarm_update_changes_what_it_names_and_the_history_obeys(manager: Node) -> None:
    cluster = "{{json .Swarm.Cluster.Spec}}"
    before = json.loads(succeed(manager, "info", "--format", cluster))
    options = ("--task-history-limit", str(HISTORY), "--dispatcher-heartbeat", "3s", "--cert-expiry", "720h")
    assert succeed(manager, "swarm", "update", *options) == "Swarm updated."
    try:
        after = json.loads(succeed(manager, "info", "--format", cluster))
        assert after == {
            **before,
            "Orchestration": {"TaskHistoryRetentionLimit": HISTORY},
            "Dispatcher": {"HeartbeatPeriod": 3_000_000_000},
            "CAConfig": {**before["CAConfig"], "NodeCertExpiry": 720 * 3_600_000_000_000},
        }
        succeed(manager, "service", "create", *SERVE, "--name", "web", IMAGE, "/bin/sleep", "600")
        wait_running(manager, "web", 1)
        for _ in range(HISTORY + 1):
            succeed(manager, "service", "update", "--force", "--no-resolve-image", "--update-monitor", "1s", "web")

        def forgotten() -> Done[None] | NotYet:
            tasks = tasks_of(manager, "web")
            return Done(None) if len(tasks) == HISTORY else NotYet(f"{len(tasks)} tasks")

        wait_until(forgotten, what="the oldest tasks to be forgotten", timeout=SETTLE_SECONDS)
    finally:
        limit = before["Orchestration"]["TaskHistoryRetentionLimit"]
        restored = ("--task-history-limit", str(limit), "--dispatcher-heartbeat", "5s", "--cert-expiry", "2160h")
        succeed(manager, "swarm", "update", *restored)


def test_events_tell_of_everything_the_swarm_has(manager: Node) -> None:
    since = time.time()
    succeed(manager, "network", "create", "-d", "overlay", "told-net")
    for kind in ("secret", "config"):
        assert command(manager, "sh", "-c", PUT, "put", "content", kind, f"told-{kind}").status == 0
    succeed(manager, "service", "create", *SERVE, "--name", "told", "--network", "told-net", IMAGE, "/bin/sleep", "600")
    succeed(manager, "service", "scale", "--detach", "told=2")
    succeed(manager, "node", "update", "--label-add", "told=yes", manager.name)
    succeed(manager, "node", "update", "--label-rm", "told", manager.name)
    succeed(manager, "service", "rm", "told")
    for kind in ("secret", "config", "network"):
        succeed(manager, kind, "rm", "told-net" if kind == "network" else f"told-{kind}")

    window = ("--since", f"{since:.6f}", "--until", f"{time.time() + 1:.6f}")
    text = succeed(manager, "events", *window, "--filter", "scope=swarm", "--format", "{{json .}}")
    events = [json.loads(line) for line in text.splitlines()]
    told = [
        (event["Type"], event["Action"])
        for event in events
        if event["Actor"]["Attributes"]["name"] in ("told", "told-net", "told-secret", "told-config", manager.name)
    ]
    for kind in ("network", "secret", "config", "service"):
        assert Counter(told)[(kind, "create")] == Counter(told)[(kind, "remove")] == 1, kind
    assert ("node", "update") in told
    scaled = [event for event in events if "replicas.new" in event["Actor"]["Attributes"]]
    assert [event["Actor"]["Attributes"]["replicas.new"] for event in scaled] == ["2"]


def test_a_network_of_chosen_addresses(manager: Node) -> None:
    subnet, part = ip_network("10.77.0.0/24"), ip_network("10.77.0.128/25")
    addresses = ["--subnet", str(subnet), "--gateway", "10.77.0.9", "--ip-range", str(part)]
    addresses += ["--aux-address", "nas=10.77.0.129"]
    network_id = succeed(
        manager, "network", "create", "-d", "overlay", "--internal", "--label", "a=b", *addresses, "chosen"
    )
    try:
        (shown,) = json.loads(succeed(manager, "network", "inspect", "chosen"))
        assert (shown["Scope"], shown["Driver"], shown["Internal"], shown["Labels"]) == (
            "swarm",
            "overlay",
            True,
            {"a": "b"},
        )
        config = {"Subnet": str(subnet), "IPRange": str(part), "Gateway": "10.77.0.9"}
        assert shown["IPAM"]["Config"] == [{**config, "AuxiliaryAddresses": {"nas": "10.77.0.129"}}]

        succeed(
            manager, "service", "create", *SERVE, "--name", "web", "--network", "chosen", IMAGE, "/bin/sleep", "600"
        )
        wait_running(manager, "web", 1)
        given = succeed(manager, "service", "inspect", "--format", "{{(index .Endpoint.VirtualIPs 0).Addr}}", "web")
        assert ip_interface(given).ip in part
        (task_id,) = succeed(manager, "service", "ps", "--quiet", "--no-trunc", "web").split()
        given = succeed(manager, "inspect", "--format", "{{index (index .NetworksAttachments 0).Addresses 0}}", task_id)
        assert ip_interface(given).ip in part

        service_id = succeed(manager, "service", "inspect", "--format", "{{.ID}}", "web")
        answer = docker(manager, "network", "rm", "chosen")
        assert answer.status == 1
        assert f"network {network_id} is in use by service {service_id}" in answer.error
        overlapping = docker(manager, "network", "create", "-d", "overlay", "--subnet", "10.77.0.0/16", "other")
        assert "Pool overlaps with other one on this address space" in overlapping.error
        succeed(manager, "service", "rm", "web")
    finally:
        remove_services(manager)
        assert succeed(manager, "network", "rm", "chosen") == "chosen"


def test_prune_takes_what_nothing_uses(manager: Node) -> None:
    for name in ("used", "unused"):
        succeed(manager, "network", "create", "-d", "overlay", name)
    succeed(manager, "service", "create", *SERVE, "--name", "web", "--network", "used", IMAGE, "/bin/sleep", "600")
    pruned = succeed(manager, "network", "prune", "--force").splitlines()
    assert "unused" in pruned
    left = succeed(manager, "network", "ls", "--filter", "scope=swarm", "--format", "{{.Name}}").split()
    assert ("used" in left, "ingress" in left, "unused" in left) == (True, True, False)
    succeed(manager, "service", "rm", "web")
    succeed(manager, "network", "rm", "used")


def test_tasks_are_spread_over_the_values_of_a_label(swarm: Cluster, manager: Node) -> None:
    alone, *others = [node.name for node in swarm.nodes]
    for name in (alone, *others):
        succeed(manager, "node", "update", "--label-add", f"rack={'a' if name == alone else 'b'}", name)
    try:
        spread = ("--replicas", "6", "--placement-pref", "spread=node.labels.rack")
        succeed(manager, "service", "create", *SERVE, "--name", "web", *spread, IMAGE, "/bin/sleep", "600")
        places = Counter(task["Node"] == alone for task in wait_running(manager, "web", 6))
        assert places == {True: 3, False: 3}
    finally:
        for name in (alone, *others):
            succeed(manager, "node", "update", "--label-rm", "rack", name)


@pytest.mark.parametrize(
    ("constraint", "runs"),
    [
        ("node.hostname=={name}", True),
        ("node.hostname!={name}", False),
        ("node.id=={id}", True),
        ("node.platform.os==linux", None),
        ("node.platform.os!=linux", False),
        ("engine.labels.none==x", False),
        ("engine.labels.none!=x", None),
    ],
)
def test_constraints(manager: Node, constraint: str, runs: bool | None) -> None:
    """`runs`: on this node; None: on any; False: not on this one, or nowhere."""
    identity = succeed(manager, "info", "--format", "{{.Swarm.NodeID}}")
    rule = constraint.format(name=manager.name, id=identity)
    succeed(manager, "service", "create", *SERVE, "--name", "web", "--constraint", rule, IMAGE, "/bin/sleep", "600")

    def placed() -> Done[str] | NotYet:
        (task,) = tasks_of(manager, "web")
        is_settled = task["CurrentState"].startswith("Running") or "scheduling constraints not" in task["Error"]
        return Done(task["Node"]) if is_settled else NotYet(str(task))

    node = wait_until(placed, what="the task to run or to say why not", timeout=SETTLE_SECONDS)
    assert {True: node == manager.name, False: node != manager.name, None: bool(node)}[runs], node


def test_a_generic_resource_nobody_has_is_waited_for(swarm: Cluster, manager: Node) -> None:
    wanted = ("--name", "web", "--generic-resource", "gpu=1")
    succeed(manager, "service", "create", *SERVE, *wanted, IMAGE, "/bin/sleep", "600")

    def explained() -> Done[str] | NotYet:
        (task,) = tasks_of(manager, "web")
        return Done(task["Error"]) if task["Error"] else NotYet(str(task))

    error = wait_until(explained, what="the reason", timeout=SETTLE_SECONDS)
    assert error == f'"no suitable node (insufficient resources on {len(swarm.nodes)} nodes)"'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"service create -d --isolation hyperv {IMAGE}", "isolation 'hyperv' is not supported: the nodes run Linux"),
        (f"service create -d --credential-spec file://x {IMAGE}", "credential specs are not supported"),
        (f"service create -d --mount type=cluster,source=v,target=/v {IMAGE}", "mounts of type 'cluster' are not"),
        ("network create -d overlay --opt encrypted n", "encrypted overlay networks are not supported"),
        ("network create -d overlay --ipv6 n", "overlay networks of this cluster are IPv4 only"),
        ("network create -d macvlan --scope swarm n", "driver macvlan is not supported"),
        ("secret create --driver vault s", "secret driver 'vault' is not supported"),
        ("config create --template-driver jinja c /etc/hostname", "config templating driver 'jinja' is not supported"),
    ],
)
def test_what_cannot_be_honoured_is_refused(manager: Node, line: str, reason: str) -> None:
    answer = docker(manager, *line.split())
    assert answer.status == 1, answer.output
    assert reason in answer.error
