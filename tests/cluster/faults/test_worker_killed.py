"""A worker dies under the article's load: what it costs when nodes probe one another."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until

pytestmark = pytest.mark.cluster

REPLICAS = 4
NOTICE_SECONDS = 10.0
"""Less than the managers need to declare a node down: what happens by then is the gossip's doing."""


def mesh_rules(node: Node) -> str:
    """How the node balances published ports."""
    _, output = node.container.exec_run(["nft", "list", "chain", "ip", "swarm", "services"])
    return str(output.decode())


def wait_left_out(node: Node, address: str) -> None:
    """Wait until the node begins no connection to that address."""

    def look() -> Done[None] | NotYet:
        return NotYet("it is balanced to") if f"dnat to {address}:" in mesh_rules(node) else Done(None)

    wait_until(look, what=f"{address} left out of the balancer of {node.name}", timeout=NOTICE_SECONDS)


def mesh_address(service: Service, node: Node) -> str:
    """Where the mesh reaches the service's task on that node."""
    ids = {each["Description"]["Hostname"]: each["ID"] for each in service.cluster.api.nodes()}
    (task,) = [
        task
        for task in service.tasks()
        if task["NodeID"] == ids[node.name] and task["Status"]["State"] == task["DesiredState"] == "running"
    ]
    addresses: list[str] = [
        address.partition("/")[0]
        for attachment in task["NetworksAttachments"]
        if attachment["Network"]["Spec"]["Name"] == "ingress"
        for address in attachment["Addresses"]
    ]
    assert re.fullmatch(r"[\d.]+", addresses[0])
    return addresses[0]


def test_a_killed_worker_costs_what_was_in_flight_on_it(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    if swarm.engine.name == "docker":
        pytest.skip("Docker's swarm mode does not take a silent node out of the mesh before it is down")
    worker = swarm.nodes[-1]
    survivors = [node for node in swarm.nodes if node is not worker]
    web = deploy(replicas=REPLICAS)
    address = mesh_address(web, worker)
    assert all(f"dnat to {address}:" in mesh_rules(node) for node in survivors)

    with load(web, requests=500, targets=tuple(node.name for node in survivors)) as run, swarm.kill(worker) as death:
        for node in survivors:
            wait_left_out(node, address)

    entries = run.ledger.entries
    duration = max(e.record.finished for e in entries) - min(e.record.scheduled for e in entries)
    share = len(entries) / duration / REPLICAS
    late = [entry for entry in run.ledger.losses if entry.record.scheduled > death.started]
    print(  # noqa: T201
        f"worker killed: lost {run.lost}, of them {run.lost - len(late)} in flight on it and {len(late)} sent later "
        f"(one second's share: {share:.1f}); longest gap {run.longest_gap:.2f} s; {run.ledger.sum_line()}"
    )
    assert len(late) <= share + 1, run.explain()
    assert run.duplicates == 0, run.explain()
