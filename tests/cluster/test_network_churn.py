"""Networks and services made and erased, over and over, under the same names: every round works and nothing stays.

The article's author: "making and erasing the service, the network, the name can not be closed". CHURN_ROUNDS sets the
number of rounds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_swarm import dns_probe
from pytest_swarm.cluster import Cluster
from pytest_swarm.conditions import LIVE_STATES
from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.command_line import command
from tests.cluster.conftest import COMMAND, IMAGE

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.gate,
]

ROUNDS = int(os.environ.get("CHURN_ROUNDS", "5"))
NETWORK, SERVICE, PORT = "churn-net", "churn", 8080
ROUND_S = 60.0
NAMES_S = 10.0
"""A node that has not heard of the last task yet is not wrong, but late."""
KEPT = {"bridge", "host", "none", "ingress"}
_ASK = (
    "import urllib.request as r,sys;[r.urlopen('http://%s:%s/'%(a,sys.argv[1]),timeout=4).read() for a in sys.argv[2:]]"
)
# Names go in as bytes: the sample's Python is too small to know the encoding of host names.
_RESOLVE = (
    "import socket as s,sys;print(*{a[4][0] for a in s.getaddrinfo(sys.argv[1].encode(),0,s.AF_INET,s.SOCK_STREAM)})"
)
_CARRIED = "ip -brief link && ip -brief -4 address && nft --stateless list ruleset"

_LOOK_UP = """
import json, sys
probe = {"__name__": "probe"}
exec(sys.argv[1], probe)
print(json.dumps([probe["ask"](sys.argv[2], number, name) for number, name in enumerate(sys.argv[3:])]))
"""
_NO_SUCH_NAME, _NO_SERVER = 3, -1


def test_networks_and_services_come_and_go_without_a_trace(swarm: Cluster) -> None:
    before = {node.name: _carried(node) for node in swarm.nodes}
    started = time.monotonic()
    subnets = set()
    for number in range(ROUNDS):
        subnets.add(_round(swarm, attach_on=swarm.nodes[number % len(swarm.nodes)]))
    seconds = time.monotonic() - started
    print(f"{ROUNDS} rounds in {seconds:.0f} s on {len(swarm.nodes)} nodes, subnets {sorted(subnets)}")  # noqa: T201
    for node in swarm.nodes:
        look = partial(_is_clean, node, before[node.name])
        wait_until(look, what=f"{node.name} to be clean", timeout=ROUND_S)
    assert len(subnets) <= 2, f"address pools leak: {sorted(subnets)}"
    assert _all_over(swarm)


def _round(swarm: Cluster, *, attach_on: Node) -> str:
    """Create both, use them from every node, remove both at once; returns the network's subnet."""
    network = swarm.nodes[0].client.networks.create(NETWORK, driver="overlay", attachable=True)
    service = swarm.deploy(
        f"{IMAGE}:1", name=SERVICE, command=COMMAND, publish={}, env={"BLOCK_SECONDS": "0"}, networks=[NETWORK]
    )
    shown = swarm.api.inspect_network(network.id, verbose=True)
    members = shown["Services"][SERVICE]
    addresses = [members["VIP"], *(task["EndpointIP"] for task in members["Tasks"])]
    assert len(addresses) == 4
    for node in swarm.nodes:
        node.run_command(["python3", "-c", _ASK, str(PORT), *addresses])
    servers = {node.name: _name_server(node, network.id) for node in swarm.nodes}
    wait_until(lambda: _named(swarm, servers, addresses), what="the names to be right everywhere", timeout=NAMES_S)
    _attach_and_ask(attach_on, addresses, asked=swarm.nodes[0])
    swarm.api.remove_service(service.id)
    swarm.forget(service)
    network.remove()
    assert NETWORK not in {each["Name"] for each in swarm.api.networks()}
    wait_until(lambda: _forgotten(swarm, servers), what="the names to be gone", timeout=ROUND_S)
    return str(shown["IPAM"]["Config"][0]["Subnet"])


def _attach_and_ask(node: Node, addresses: list[str], *, asked: Node) -> None:
    """A container started by hand joins the network by its name, and reaches and resolves what a task does.

    And as long as it runs the network stays, wherever one asks.
    """

    def start() -> Done[Any] | NotYet:
        from docker.errors import APIError

        try:
            return Done(node.client.containers.run(f"{IMAGE}:1", COMMAND, network=NETWORK, detach=True))
        except APIError as error:
            # The network of this name before may still have a task here that is ending.
            return NotYet(str(error.explanation))

    container = wait_until(start, what=f"a container to join {NETWORK} on {node.name}", timeout=ROUND_S)
    try:
        container.reload()
        process_id = str(container.attrs["State"]["Pid"])
        node.run_command(["nsenter", "-t", process_id, "-n", "python3", "-c", _ASK, str(PORT), *addresses])
        for name, meant in ((SERVICE, addresses[:1]), (f"tasks.{SERVICE}", addresses[1:])):
            answer = command(node, "docker", "exec", container.id, "python3", "-c", _RESOLVE, name)
            assert (answer.status, set(answer.output.split())) == (0, set(meant)), f"{name}: {answer}"
        refused = command(asked, "docker", "network", "rm", NETWORK)
        assert f"is in use by container {container.name} on node {node.name}" in refused.error
    finally:
        container.remove(force=True)


def _name_server(node: Node, network_id: str) -> str:
    """The node's own address on the network: where its containers there ask."""
    shown = command(node, "ip", "-brief", "-4", "address", "show", "dev", f"sw-{network_id[:12]}").output
    # Virtual addresses are on the bridge too, each by itself.
    (address,) = [word for word in shown.split()[2:] if not word.endswith("/32")]
    return address.partition("/")[0]


def _look_up(node: Node, server: str, *names: str) -> list[tuple[int, list[str]]]:
    """(DNS's code, addresses) of each name, asked for on the node."""
    source = Path(dns_probe.__file__).read_text("utf-8")
    answer = command(node, "python3", "-c", _LOOK_UP, source, server, *names)
    assert answer.status == 0, answer.error
    return [(code, sorted(addresses)) for code, _, addresses in json.loads(answer.output)]


def _named(swarm: Cluster, servers: Mapping[str, str], addresses: Sequence[str]) -> Done[None] | NotYet:
    """Every node gives the virtual address, the first one, for the service's name, and the others for its tasks.

    One that knows of none or of some of them is late; one that gives any other, those of the last round, say, is wrong.
    """
    virtual, tasks = [addresses[0]], sorted(addresses[1:])
    meant = {SERVICE: virtual, f"{SERVICE}.{NETWORK}": virtual, f"tasks.{SERVICE}": tasks}
    for node in swarm.nodes:
        answers = _look_up(node, servers[node.name], *meant)
        for (code, found), (name, right) in zip(answers, meant.items(), strict=True):
            assert set(found) <= set(right), f"{node.name} answers {found} for {name}, which means {right}"
            if (code, found) != (0, right):
                return NotYet(f"{node.name} answers {code} {found} for {name}")
    return Done(None)


def _forgotten(swarm: Cluster, servers: Mapping[str, str]) -> Done[None] | NotYet:
    """No node names anything any more, be it that its server says so or that it has none there now."""
    for node in swarm.nodes:
        answers = _look_up(node, servers[node.name], SERVICE, f"tasks.{SERVICE}")
        if any(code not in (_NO_SUCH_NAME, _NO_SERVER) or addresses for code, addresses in answers):
            return NotYet(f"{node.name} answers {answers}")
    return Done(None)


def _carried(node: Node) -> list[str]:
    """Devices, addresses and rules of ours in the node."""
    answer = command(node, "sh", "-c", _CARRIED)
    assert answer.status == 0, answer.error
    # What the node's own containers need comes and goes.
    return sorted(line.split("@")[0].strip() for line in answer.output.splitlines() if "veth" not in line)


def _is_clean(node: Node, before: list[str]) -> Done[None] | NotYet:
    left = [line for line in _carried(node) if line not in before]
    networks = [each.name for each in node.client.networks.list() if each.name not in KEPT]
    every = node.client.containers.list(all=True, ignore_removed=True)
    containers = [each.name for each in every if each.name.startswith(f"{SERVICE}.")]
    if left or networks or containers:
        return NotYet(f"left are {left[:5]}, networks {networks}, containers {containers}")
    return Done(None)


def _all_over(swarm: Cluster) -> bool:
    return not any(task["Status"]["State"] in LIVE_STATES for task in swarm.api.tasks())
