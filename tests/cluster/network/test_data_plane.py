"""The data plane on a real kernel: three nodes as network namespaces, no Docker."""

import asyncio
import collections
import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pyroute2.netns import setns

from orchestrator.model.network import Endpoint, NetworkConfiguration
from orchestrator.network.connections import NamespaceConnections
from orchestrator.network.conntrack import Conntrack
from orchestrator.network.ingress_rules import MARK, MARK_MASK
from tests.cluster.network.rig import (
    CONNECT_DEADLINE_S,
    NETWORK_ID,
    PUBLISHED_PORT,
    TARGET_PORT,
    Rig,
    ask,
    connect,
    eventually,
    in_namespace,
    ip,
    missing_for_rig,
    read_all,
    rig,
    run,
)

SWAPPING_S = 6.0
MISSING = missing_for_rig()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Rig]:
    with rig() as built:
        yield built


@pytest.fixture(autouse=True)
def _all_serving(cluster: Rig) -> None:
    cluster.apply(cluster.tasks)
    for task in cluster.tasks:
        task.release.clear()


def ask_often(namespace: str, address: str, times: int) -> collections.Counter[str]:
    with ThreadPoolExecutor(1, initializer=setns, initargs=(namespace,)) as executor:
        return executor.submit(lambda: collections.Counter(ask_here(address) for _ in range(times))).result(30)


def ask_here(address: str, source_port: int = 0) -> str:
    with socket.socket() as client:
        client.settimeout(CONNECT_DEADLINE_S)
        client.connect((address, PUBLISHED_PORT))
        client.sendall(b"who")
        return read_all(client)


@pytest.mark.parametrize("node", [0, 1, 2])
def test_every_node_balances_evenly_over_all_tasks(cluster: Rig, node: int) -> None:
    answers = ask_often(cluster.client, cluster.nodes[node].address, 40)
    assert answers == {"t0": 10, "t1": 10, "t2": 10, "t3": 10}


@pytest.mark.parametrize("address", ["127.0.0.1", "10.99.0.1", "10.0.1.2"])
def test_a_nodes_own_clients_reach_all_tasks(cluster: Rig, address: str) -> None:
    answers = ask_often(cluster.nodes[0].name, address, 20)
    assert answers == {"t0": 5, "t1": 5, "t2": 5, "t3": 5}


def test_a_task_reaches_all_tasks_itself_included(cluster: Rig) -> None:
    answers = ask_often(cluster.tasks[0].namespace, cluster.nodes[0].address, 20)
    assert answers == {"t0": 5, "t1": 5, "t2": 5, "t3": 5}


def test_without_endpoints_a_connection_is_refused_and_leaves_nothing_behind(cluster: Rig) -> None:
    cluster.apply(())
    for namespace, address in ((cluster.client, "10.99.0.1"), (cluster.nodes[0].name, "127.0.0.1")):
        with pytest.raises(ConnectionRefusedError):
            ask(namespace, address, 20000)
    cluster.apply(cluster.tasks)
    assert ask(cluster.client, "10.99.0.1", 20000)
    assert ask(cluster.nodes[0].name, "127.0.0.1", 20000)


def test_swapping_endpoints_under_load_loses_no_connection(cluster: Rig) -> None:
    node, (first, second, *_) = cluster.nodes[0], cluster.tasks
    asked = 0
    swaps = 0
    lost: list[str] = []
    done = threading.Event()

    def load() -> int:
        count = 0
        while not done.is_set():
            count += 1
            try:
                ask_here(node.address)
            except OSError as error:
                lost.append(repr(error))
        return count

    with ThreadPoolExecutor(4, initializer=setns, initargs=(cluster.client,)) as clients:
        loads = [clients.submit(load) for _ in range(4)]
        until = time.monotonic() + SWAPPING_S
        while swaps < 50 and time.monotonic() < until:
            swaps += 1
            serving, idle = ([first], [second]) if swaps % 2 else ([second], [first])
            node.apply(cluster.configuration(node, serving, idle))
        done.set()
        asked = sum(future.result(30) for future in loads)
    assert (swaps >= 5, asked >= 200) == (True, True), f"{asked} connections in {swaps} swaps prove nothing"
    assert lost == []


def test_a_held_connection_counts_until_it_is_answered(cluster: Rig) -> None:
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    node.apply(cluster.configuration(node, [old]))
    with connect(cluster.client, node.address) as client:
        client.sendall(b"hold")
        withdrawn = cluster.configuration(node, [new], [old])
        node.apply(withdrawn)
        assert node.flows(withdrawn) == {"t0": 1}
        assert ask(cluster.client, node.address) == "t1"
        old.release.set()
        assert read_all(client) == "t0"
    assert node.flows(withdrawn) == {}


def test_a_half_closed_connection_counts(cluster: Rig) -> None:
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    node.apply(cluster.configuration(node, [old]))
    with connect(cluster.client, node.address) as client:
        client.sendall(b"hold")
        client.shutdown(socket.SHUT_WR)
        withdrawn = cluster.configuration(node, [new], [old])
        node.apply(withdrawn)
        assert node.flows(withdrawn) == {"t0": 1}
        old.release.set()
        assert read_all(client) == "t0"
    assert node.flows(withdrawn) == {}


def test_an_answered_connection_that_the_client_keeps_does_not_count(cluster: Rig) -> None:
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    node.apply(cluster.configuration(node, [old]))
    with connect(cluster.client, node.address) as client:
        client.sendall(b"who")
        assert read_all(client) == "t0"
        withdrawn = cluster.configuration(node, [new], [old])
        node.apply(withdrawn)
        assert eventually(lambda: node.flows(withdrawn) == {})


@pytest.mark.parametrize("request_", [b"who", b"reset"])
def test_a_reused_source_port_is_balanced_afresh(cluster: Rig, request_: bytes) -> None:
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    port = 21000 + len(request_)
    node.apply(cluster.configuration(node, [old]))
    with connect(cluster.client, node.address, port) as client:
        client.sendall(request_)
        with contextlib.suppress(ConnectionResetError):
            assert read_all(client) == "t0"
    withdrawn = cluster.configuration(node, [new], [old])
    node.apply(withdrawn)
    assert node.flows(withdrawn) == {}
    assert ask(cluster.client, node.address, port) == "t1"


def test_a_source_port_whose_client_closed_first_is_balanced_afresh(cluster: Rig) -> None:
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    node.apply(cluster.configuration(node, [old]))
    with connect(cluster.client, node.address, 22000) as client:
        client.shutdown(socket.SHUT_WR)
        read_all(client)
    withdrawn = cluster.configuration(node, [new], [old])
    node.apply(withdrawn)
    assert node.flows(withdrawn) == {}
    # The client's own TIME_WAIT forbids the port to it for a minute, so let the kernel forget that.
    ip("netns", "exec", cluster.client, "ss", "--kill", "state", "time-wait", "sport", "=", "22000")
    assert ask(cluster.client, node.address, 22000) == "t1"


def test_a_source_port_is_balanced_afresh_when_the_task_it_led_to_has_ended(cluster: Rig) -> None:
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    node.apply(cluster.configuration(node, [old]))
    with connect(cluster.client, node.address, 23000):
        node.apply(cluster.configuration(node, [new], lingering=[old]))
        # The client's host dies too, and comes back with the same address: nothing says that the connection is over.
        with cluster.unplugged(cluster.client):
            ip("netns", "exec", cluster.client, "ss", "--kill", "state", "established", "sport", "=", "23000")
    with cluster.unplugged(old.namespace):
        node.apply(cluster.configuration(node, [new]))
        assert ask(cluster.client, node.address, 23000) == "t1"


def test_what_lingers_answers_on(cluster: Rig) -> None:
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    node.apply(cluster.configuration(node, [old]))
    with connect(cluster.client, node.address) as client:
        client.sendall(b"hold")
        node.apply(cluster.configuration(node, [new], lingering=[old]))
        old.release.set()
        assert read_all(client) == "t0"


def test_a_connection_to_a_task_that_has_ended_is_reset_when_it_is_used(cluster: Rig) -> None:
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    node.apply(cluster.configuration(node, [old]))
    with connect(cluster.client, node.address) as client, cluster.unplugged(old.namespace):
        node.apply(cluster.configuration(node, [new]))
        client.sendall(b"who")
        with pytest.raises(ConnectionResetError):
            client.recv(16)


@pytest.mark.parametrize("namespace", ["client", "node"])
def test_it_is_reset_though_the_same_ports_were_used_with_the_next_task_before(cluster: Rig, namespace: str) -> None:
    """That task's kernel keeps the older connection in TIME_WAIT, and would acknowledge whatever comes for it."""
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    source = cluster.client if namespace == "client" else node.name
    node.apply(cluster.configuration(node, [new]))
    assert ask(source, node.address, 24000) == "t1"
    assert ":24000" in run("ip", "netns", "exec", new.namespace, "ss", "-Htan", "state", "time-wait")
    node.apply(cluster.configuration(node, [old]))
    with connect(source, node.address, 24000) as client, cluster.unplugged(old.namespace):
        node.apply(cluster.configuration(node, [new]))
        client.sendall(b"who")
        with pytest.raises(ConnectionResetError):
            client.recv(16)


def test_datagrams_of_one_socket_move_to_a_live_endpoint(cluster: Rig) -> None:
    node, (old, new, *_) = cluster.nodes[0], cluster.tasks
    node.apply(cluster.configuration(node, [old]))
    with in_namespace(cluster.client, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(CONNECT_DEADLINE_S)
        client.sendto(b"who", (node.address, PUBLISHED_PORT))
        assert client.recv(16) == b"t0"
        withdrawn = cluster.configuration(node, [new], [old])
        node.apply(withdrawn)
        assert node.flows(withdrawn) == {}
        client.sendto(b"who", (node.address, PUBLISHED_PORT))
        assert client.recv(16) == b"t1"


def test_a_client_connecting_to_a_lost_task_reaches_a_live_one_with_its_next_try(cluster: Rig) -> None:
    node, live = cluster.nodes[0], cluster.tasks[1]
    nobody = replace(live.endpoint, task_id="lost", address="10.0.1.99")
    node.apply(with_endpoints(cluster.configuration(node, []), (nobody,)))
    with ThreadPoolExecutor(1, initializer=setns, initargs=(cluster.client,)) as client:
        answer = client.submit(ask_here, node.address)
        assert eventually(lambda: bool(in_namespace(node.name, lambda: Conntrack().flows(MARK, MARK_MASK))))
        node.apply(cluster.configuration(node, [live]))
        assert answer.result(CONNECT_DEADLINE_S) == "t1"


def test_a_client_connecting_to_a_node_held_dead_reaches_a_live_one_with_its_next_try(cluster: Rig) -> None:
    node, live, held = cluster.nodes[0], cluster.tasks[1], cluster.tasks[0]
    nobody = replace(live.endpoint, task_id="lost", node_id="dead", address="10.0.1.99")
    rest = [task for task in cluster.tasks if task is not live]
    both = with_endpoints(cluster.configuration(node, [], lingering=rest), (nobody, live.endpoint))
    with (
        connect(cluster.client, node.address) as before,
        ThreadPoolExecutor(2, initializer=setns, initargs=(cluster.client,)) as client,
    ):
        before.sendall(b"hold")
        node.apply(both)
        # One of two in turn goes to each.
        answers = [client.submit(ask_here, node.address) for _ in range(2)]
        assert eventually(lambda: is_trying(node.name, nobody.address))
        node.avoid("dead")
        assert [answer.result(CONNECT_DEADLINE_S) for answer in answers] == ["t1", "t1"]
        assert ask_often(cluster.client, node.address, 6) == {"t1": 6}
        again = cluster.configuration(node, [], lingering=rest)
        node.apply(with_endpoints(again, (nobody, live.endpoint)))
        assert ask_often(cluster.client, node.address, 6) == {"t1": 6}
        for task in cluster.tasks:
            task.release.set()
        assert read_all(before) in {task.endpoint.task_id for task in cluster.tasks}
    node.avoid()
    cluster.apply([live, held])
    assert ask_often(cluster.client, node.address, 6) == {"t0": 3, "t1": 3}


def test_a_verdict_on_all_changes_nothing_and_what_drains_is_still_counted(cluster: Rig) -> None:
    node, old, new = cluster.nodes[0], cluster.tasks[0], cluster.tasks[1]
    node.apply(cluster.configuration(node, [old]))
    node.avoid(old.endpoint.node_id, new.endpoint.node_id)
    with connect(cluster.client, node.address) as client:
        client.sendall(b"hold")
        withdrawn = cluster.configuration(node, [new], [old])
        node.apply(withdrawn)
        assert node.flows(withdrawn) == {"t0": 1}
        assert ask_often(cluster.client, node.address, 3) == {"t1": 3}
        old.release.set()
        assert read_all(client) == "t0"
    node.avoid()


def is_trying(namespace: str, address: str) -> bool:
    """Whether a connection to the address has not been answered yet."""
    found = in_namespace(namespace, lambda: Conntrack().flows(MARK, MARK_MASK))
    return any(flow.endpoint == address and not flow.is_answered for flow in found)


def test_a_restart_disturbs_no_connection_and_no_device(cluster: Rig) -> None:
    node, old = cluster.nodes[0], cluster.tasks[0]
    node.apply(cluster.configuration(node, [old]))
    devices = ip("-n", node.name, "-brief", "link")
    with connect(cluster.client, node.address) as client:
        client.sendall(b"hold")
        node.restart()
        withdrawn = cluster.configuration(node, [cluster.tasks[1]], [old])
        node.apply(withdrawn)
        assert node.flows(withdrawn) == {"t0": 1}
        old.release.set()
        assert read_all(client) == "t0"
    assert ip("-n", node.name, "-brief", "link") == devices
    assert run("ip", "netns", "exec", node.name, "iptables", "-S", "DOCKER-USER").count("connmark") == 1


def test_the_sockets_of_a_task_are_seen_through_any_process_of_it(cluster: Rig) -> None:
    node, task = cluster.nodes[0], cluster.tasks[0]
    node.apply(cluster.configuration(node, [task]))
    connections = NamespaceConnections()
    with subprocess.Popen(("ip", "netns", "exec", task.namespace, "sleep", "60")) as process:
        try:
            assert eventually(lambda: asyncio.run(connections.accepts(process.pid, TARGET_PORT)))
            assert not asyncio.run(connections.accepts(process.pid, PUBLISHED_PORT))
            with connect(cluster.client, node.address) as client:
                client.sendall(b"hold")
                assert eventually(lambda: asyncio.run(connections.open_count(process.pid)) == 1)
                task.release.set()
                assert read_all(client) == "t0"
            assert eventually(lambda: asyncio.run(connections.open_count(process.pid)) == 0)
        finally:
            process.kill()


def test_a_network_that_left_the_configuration_is_taken_away(cluster: Rig) -> None:
    with cluster.lone_node() as node:
        both = cluster.configuration(node, cluster.tasks)
        second = replace(both.networks[0], network_id="second", subnet="10.0.2.0/24", gateway="10.0.2.9", vni=4097)
        node.apply(replace(both, networks=(*both.networks, second)))
        assert our_devices(node.name) == [
            f"sw-{NETWORK_ID[:12]}",
            "sw-second",
            f"vx-{NETWORK_ID[:12]}",
            "vx-second",
        ]
        node.apply(replace(both, peers=both.peers[1:]))
        assert our_devices(node.name) == [f"sw-{NETWORK_ID[:12]}", f"vx-{NETWORK_ID[:12]}"]
        flooded = run("bridge", "-n", node.name, "fdb", "show", "dev", f"vx-{NETWORK_ID[:12]}")
        assert [peer.address for peer in both.peers if f"dst {peer.address} " in flooded] == ["10.99.0.2", "10.99.0.3"]


def test_removal_leaves_nothing(cluster: Rig) -> None:
    with cluster.lone_node() as node:
        node.apply(cluster.configuration(node, cluster.tasks))
        node.remove()
        node.remove()
        assert our_devices(node.name) == []
        rules = run("ip", "netns", "exec", node.name, "nft", "list", "ruleset")
        assert "swarm" not in rules
        assert "accept" not in rules


def with_endpoints(configuration: NetworkConfiguration, endpoints: tuple[Endpoint, ...]) -> NetworkConfiguration:
    (service,) = configuration.services
    return replace(configuration, services=(replace(service, endpoints=endpoints),))


def our_devices(namespace: str) -> list[str]:
    names = [line.split()[0] for line in ip("-n", namespace, "-brief", "link").splitlines()]
    return sorted(name for name in names if name.startswith(("sw-", "vx-")))
