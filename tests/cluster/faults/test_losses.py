"""What nodes and daemons that die cost a service under the article's load, and what they leave of the cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from docker.errors import APIError

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.conftest import QUICK
from tests.cluster.faults import keep_connections
from tests.cluster.faults.tasks import (
    REPLACED_SECONDS,
    containers,
    mesh_addresses,
    mesh_rules,
    others,
    report,
    running,
    spread_over_all_nodes,
    wait_running,
)
from tests.consistency.cluster_target import ClusterTarget
from tests.consistency.digests import wait_digests
from tests.consistency.docker_client import DockerClient

pytestmark = pytest.mark.cluster

NEW_IMAGE = "docker-swarm-test:2"
REFUSED_SECONDS = 5.0
AGAIN_SECONDS = 4.0
"""From the start of a manager that was missing for a majority until writes are taken."""
TOLD_SECONDS = 45.0
"""A node is down after 10 to 15 s, and TCP sends again after 13 or 26 s."""
NOTICE_SECONDS = 10.0
"""Less than the managers need to declare a node down: what happens by then is the gossip's doing."""


def wait_balanced(node: Node, address: str) -> None:
    """Wait until the node begins connections to that address too.

    A task that runs is in the mesh of each node when that has applied the leader's word, a moment later.
    """

    def look() -> Done[None] | NotYet:
        return Done(None) if f"dnat to {address}:" in mesh_rules(node) else NotYet("it is not balanced to")

    wait_until(look, what=f"{address} in the balancer of {node.name}", timeout=NOTICE_SECONDS)


def wait_left_out(node: Node, address: str) -> None:
    """Wait until the node begins no connection to that address."""

    def look() -> Done[None] | NotYet:
        return NotYet("it is balanced to") if f"dnat to {address}:" in mesh_rules(node) else Done(None)

    wait_until(look, what=f"{address} left out of the balancer of {node.name}", timeout=NOTICE_SECONDS)


def wait_no_leader(node: Node) -> None:
    """Wait until a write is refused for want of a leader.

    One that had left for the leader when that died is answered otherwise: nobody knows what became of it.
    """

    def look() -> Done[None] | NotYet:
        with pytest.raises(APIError) as refusal:
            node.client.api.create_config("without-a-majority", b"x")
        said = str(refusal.value)
        return Done(None) if "The swarm does not have a leader" in said else NotYet(said)

    wait_until(look, what=f"{node.name} to say that there is no leader", timeout=REPLACED_SECONDS)


def wait_writes(node: Node) -> None:
    """Wait until a write is acknowledged."""

    def write() -> Done[None] | NotYet:
        try:
            node.client.api.create_config("with-a-majority-again", b"x")
        except APIError as error:
            return NotYet(str(error))
        return Done(None)

    wait_until(write, what=f"{node.name} to take a write", timeout=REPLACED_SECONDS)


@pytest.mark.gate
def test_a_leader_that_is_cut_off_costs_nothing(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    leader = swarm.leader
    web = deploy(replicas=2, constraints=[f"node.hostname!={leader.name}"])

    with load(web, requests=100, targets=others(swarm, leader)) as run, swarm.isolate(leader) as fault:
        failover = swarm.failover_seconds(fault)
        web.scale(3)

    report(f"leader cut off, the next one after {failover:.2f} s", run)
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


def test_services_answer_without_a_majority_of_managers(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    if swarm.managers != 3:
        pytest.skip("this takes three managers")
    leader = swarm.leader
    survivor, *dying = sorted(swarm.nodes[:3], key=lambda node: node is leader)
    living = others(swarm, *dying)
    web = deploy(replicas=2, constraints=[f"node.hostname!={node.name}" for node in dying])

    with load(web, users=5, requests=75, targets=living) as run, swarm.kill(dying[0]), swarm.kill(dying[1]) as second:
        asked = time.monotonic()
        wait_no_leader(survivor)
        refused = time.monotonic() - asked
        returned = time.monotonic()
        second.end()
        wait_writes(survivor)
        again = time.monotonic() - returned
        web.scale(3)

    report(f"no majority, refused within {refused:.1f} s, all goes on {again:.1f} s after one returned", run)
    assert refused < REFUSED_SECONDS
    assert again < AGAIN_SECONDS
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


def test_a_worker_dies_under_load(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web, worker, before = spread_over_all_nodes(swarm, deploy)
    survivors = others(swarm, worker)

    with load(web, requests=400, targets=survivors, connect_timeout=2.0) as run:
        with swarm.kill(worker):
            wait_running(web, 4, on=survivors)
        web.wait_converged()

    report("worker killed", run)
    assert run.duplicates == 0, run.explain()
    assert not set(before) & set(running(web, on=others(swarm)))


@pytest.mark.gate
def test_a_killed_worker_costs_what_was_in_flight_on_it(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    if swarm.engine.name == "docker":
        pytest.skip("Docker's swarm mode does not take a silent node out of the mesh before it is down")
    worker = swarm.nodes[-1]
    survivors = [node for node in swarm.nodes if node is not worker]
    web = deploy(replicas=4)
    (address,) = mesh_addresses(web, worker)
    for node in survivors:
        wait_balanced(node, address)

    with load(web, requests=100, targets=others(swarm, worker)) as run, swarm.kill(worker) as death:
        for node in survivors:
            wait_left_out(node, address)

    entries = run.ledger.entries
    duration = max(e.record.finished for e in entries) - min(e.record.scheduled for e in entries)
    share = len(entries) / duration / 4
    late = [entry for entry in run.ledger.losses if entry.record.scheduled > death.started]
    report("worker killed", run)
    print(f"of {run.lost} lost {len(late)} were sent later; one second's share is {share:.1f}")  # noqa: T201
    assert len(late) <= share + 1, run.explain()
    assert run.duplicates == 0, run.explain()


def test_who_kept_a_connection_to_a_silent_worker_is_told_when_it_is_down(
    swarm: Cluster, deploy: Callable[..., Service]
) -> None:
    """Long before a timeout of its own, or TCP's quarter of an hour.

    A killed node's kernel still ends its connections; that of a machine without power, or without a network, does not.
    """
    worker, client, entry = swarm.nodes[-1], *swarm.nodes[:2]
    web = deploy(replicas=4, env={**QUICK, "NODE": "{{.Node.Hostname}}"})
    go = f"/tmp/{web.id}"  # of a node that is the test's own
    script = Path(keep_connections.__file__).read_text()
    command = ["python3", "-c", script, entry.address, str(web.published_ports[0]), "12", go]

    with ThreadPoolExecutor(1) as pool:
        output = pool.submit(client.run_command, command)
        wait_until(lambda: exists(client, f"{go}.ready"), what="twelve connections", timeout=30.0)
        with swarm.isolate(worker, limit=REPLACED_SECONDS):
            client.run_command(["touch", go])
            ends = [(name, how, round(seconds, 1)) for name, how, seconds in json.loads(output.result())]

    print(f"connections and how they ended: {ends}")  # noqa: T201
    there = [(how, seconds) for name, how, seconds in ends if name == worker.name]
    assert there, "no connection led to the worker"
    assert all(how == "ConnectionResetError" and seconds < TOLD_SECONDS for how, seconds in there)
    assert all(how == "answered" for name, how, _ in ends if name != worker.name)


def exists(node: Node, path: str) -> Done[None] | NotYet:
    """Whether the node has the file."""
    return Done(None) if node.container.exec_run(["test", "-e", path])[0] == 0 else NotYet(f"no {path}")


def test_killed_daemons_lose_nothing(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    if swarm.engine.name == "docker":
        pytest.skip("Docker's swarm mode has no daemon of its own")
    web = deploy(replicas=3)
    before = containers(swarm, web)

    with load(web, requests=300, targets="all-nodes") as run:
        for node in swarm.nodes:
            swarm.kill_swarmd(node).heal()

    report("every swarmd killed", run)
    assert run.lost == 0, run.explain()
    assert containers(swarm, web) == before


def test_a_killed_engine_leaves_the_service_whole(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3)
    before = containers(swarm, web)

    with load(web, requests=300, targets="all-nodes") as run:
        swarm.kill_engine(web.nodes()[-1]).heal()
        web.wait_converged()

    report("engine killed", run)
    print(f"{len(before & containers(swarm, web))} of {len(before)} containers run on")  # noqa: T201
    assert run.duplicates == 0, run.explain()


@pytest.mark.gate
def test_all_nodes_die_at_once(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3)
    identities = {node["ID"] for node in swarm.api.nodes()}
    spec = web.inspect()["Spec"]

    faults = [swarm.kill(node) for node in swarm.nodes]
    swarm.heal()
    web.wait_converged()

    print(f"all nodes: down for {max(fault.seconds for fault in faults):.1f} s")  # noqa: T201
    assert {node["ID"] for node in swarm.api.nodes()} == identities
    assert web.inspect()["Spec"] == spec
    with load(web, requests=40, targets="all-nodes") as run:
        pass
    assert run.lost == 0, run.explain()
    target = ClusterTarget(swarm)
    if target.tells_state:
        with ExitStack() as opened:
            clients = {name: DockerClient(target.socket(name)) for name in target.managers}
            for client in clients.values():
                opened.enter_context(closing(client))
            digests = wait_digests(clients)
        assert len(set(digests.values())) == 1, f"the managers differ: {digests}"
