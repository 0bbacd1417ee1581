"""Networks side by side on a real kernel: virtual addresses, and what must not be reached."""

import collections
import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pyroute2.netns import setns

from orchestrator.model.network import AttachedNetwork, BalancedService, Endpoint, NetworkConfiguration, Peer
from orchestrator.model.service import PortConfig
from orchestrator.network.overlay_rules import bridge_name
from tests.cluster.network.rig import TARGET_PORT, Node, Rig, TaskServer, in_namespace, ip, missing_for_rig, rig, run

MISSING = missing_for_rig()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

FRONT, BACK, CLOSED = "rigfront0000x", "rigback00000x", "rigclosed000x"
SUBNETS = {FRONT: "10.0.4", BACK: "10.0.5", CLOSED: "10.0.6"}
VIRTUAL = {network_id: f"{prefix}.200" for network_id, prefix in SUBNETS.items()}
CONNECT_S = 2.0
SILENCE_S = 0.7
"""How long nobody must answer to count as unreachable."""


class Networks:
    """Three nodes that carry three networks, each with one task per node behind one virtual address."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.revision = 1000
        self.members: dict[str, list[TaskServer]] = {}
        for node in rig.nodes:
            node.apply(self.configuration(node, {}))
        for network_id, prefix in SUBNETS.items():
            self.members[network_id] = [
                rig.add_member(
                    f"{network_id[3:6]}{number}", node, f"{prefix}.{10 + number}", network_id, f"{prefix}.{number + 2}"
                )
                for number, node in enumerate(rig.nodes)
            ]

    def configuration(
        self,
        node: Node,
        serving: Mapping[str, Sequence[TaskServer]],
        draining: Mapping[str, Sequence[TaskServer]] | None = None,
    ) -> NetworkConfiguration:
        self.revision += 1
        number = self.rig.nodes.index(node)
        return NetworkConfiguration(
            revision=self.revision,
            networks=tuple(
                AttachedNetwork(
                    network_id,
                    network_id,
                    f"{prefix}.0/24",
                    5000 + position,
                    f"{prefix}.{number + 2}",
                    internal=network_id == CLOSED,
                )
                for position, (network_id, prefix) in enumerate(SUBNETS.items())
            ),
            peers=tuple(Peer(other.name, other.address) for other in self.rig.nodes if other is not node),
            services=tuple(
                BalancedService(
                    f"service-{network_id}",
                    network_id,
                    (),
                    tuple(endpoint(task, network_id) for task in serving.get(network_id, ())),
                    tuple(endpoint(task, network_id) for task in (draining or {}).get(network_id, ())),
                    ((network_id, VIRTUAL[network_id]),),
                )
                for network_id in SUBNETS
            ),
        )

    def serve_all(self) -> None:
        for node in self.rig.nodes:
            node.apply(self.configuration(node, dict(self.members)))


def endpoint(task: TaskServer, network_id: str) -> Endpoint:
    known = task.endpoint
    return Endpoint(known.task_id, known.task_name, known.node_id, "", ((network_id, known.address),))


@pytest.fixture(scope="module")
def networks() -> Iterator[Networks]:
    with rig() as built:
        yield Networks(built)


@pytest.fixture(autouse=True)
def _all_serving(networks: Networks) -> None:
    networks.serve_all()
    for tasks in networks.members.values():
        for task in tasks:
            task.release.clear()


def within(namespace: str, call: Callable[[], collections.Counter[str]]) -> collections.Counter[str]:
    with ThreadPoolExecutor(1, initializer=setns, initargs=(namespace,)) as executor:
        return executor.submit(call).result(30)


def ask_tcp(address: str, port: int = TARGET_PORT, timeout: float = CONNECT_S) -> str:
    with socket.create_connection((address, port), timeout) as client:
        client.sendall(b"who")
        return client.recv(64).decode()


def ask_udp(address: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(CONNECT_S)
        client.sendto(b"who", (address, TARGET_PORT))
        answer, sender = client.recvfrom(64)
        assert sender == (address, TARGET_PORT)
        return answer.decode()


@pytest.mark.parametrize("ask", [ask_tcp, ask_udp])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_task_reaches_all_tasks_by_the_virtual_address_itself_included(
    networks: Networks, number: int, ask: Callable[[str], str]
) -> None:
    client = networks.members[FRONT][number].namespace
    answers = within(client, lambda: collections.Counter(ask(VIRTUAL[FRONT]) for _ in range(12)))
    assert answers == {"fro0": 4, "fro1": 4, "fro2": 4}


@pytest.mark.parametrize("ask", [ask_tcp, ask_udp])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_node_reaches_all_tasks_by_the_virtual_address(
    networks: Networks, number: int, ask: Callable[[str], str]
) -> None:
    node = networks.rig.nodes[number].name
    answers = within(node, lambda: collections.Counter(ask(VIRTUAL[BACK]) for _ in range(12)))
    assert answers == {"bac0": 4, "bac1": 4, "bac2": 4}


def test_members_of_an_internal_network_reach_each_other(networks: Networks) -> None:
    client = networks.members[CLOSED][0]
    answers = within(client.namespace, lambda: collections.Counter(ask_tcp(VIRTUAL[CLOSED]) for _ in range(6)))
    assert answers == {"clo0": 2, "clo1": 2, "clo2": 2}
    assert in_namespace(client.namespace, lambda: ask_tcp("10.0.6.12")) == "clo2"


def test_an_internal_network_has_no_way_out(networks: Networks) -> None:
    outside, inside = networks.rig.client, networks.members[CLOSED][0].namespace
    ip("-n", outside, "route", "add", "10.0.0.0/8", "via", networks.rig.nodes[0].address)
    try:
        with in_namespace(outside, lambda: socket.create_server(("", 81))):
            assert in_namespace(networks.members[FRONT][0].namespace, lambda: is_silent("10.99.0.100", 81))
            for node in networks.rig.nodes:
                run("ip", "netns", "exec", node.name, "iptables", "-I", "DOCKER-USER", "-j", "ACCEPT")
            assert not in_namespace(networks.members[FRONT][0].namespace, lambda: is_silent("10.99.0.100", 81))
            assert in_namespace(inside, lambda: is_silent("10.99.0.100", 81))
            assert in_namespace(outside, lambda: is_silent("10.0.6.10", TARGET_PORT))
    finally:
        ip("-n", outside, "route", "del", "10.0.0.0/8")
        for node in networks.rig.nodes:
            with contextlib.suppress(subprocess.CalledProcessError):
                run("ip", "netns", "exec", node.name, "iptables", "-D", "DOCKER-USER", "-j", "ACCEPT")


def is_silent(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), SILENCE_S).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("address", ["10.0.5.10", "10.0.5.11", "10.0.5.200", "10.0.5.2", "10.0.6.10", "10.0.6.200"])
def test_networks_do_not_reach_each_other_even_where_the_firewall_is_open(networks: Networks, address: str) -> None:
    node = networks.rig.nodes[0].name
    run("ip", "netns", "exec", node, "iptables", "-I", "DOCKER-USER", "-j", "ACCEPT")
    try:
        with in_namespace(node, lambda: socket.create_server(("", 81))):
            client = networks.members[FRONT][0].namespace
            assert in_namespace(client, lambda: is_silent(address, TARGET_PORT))
            assert in_namespace(client, lambda: is_silent(address, 81))
    finally:
        run("ip", "netns", "exec", node, "iptables", "-D", "DOCKER-USER", "-j", "ACCEPT")


def test_a_virtual_address_never_stands_for_the_node_itself(networks: Networks) -> None:
    node, client = networks.rig.nodes[0], networks.members[FRONT][0].namespace
    with in_namespace(node.name, lambda: socket.create_server(("", 81))):
        for serving in (dict(networks.members), {}):
            node.apply(networks.configuration(node, serving))
            for namespace in (client, node.name):
                with pytest.raises(ConnectionRefusedError):
                    in_namespace(namespace, lambda: ask_tcp(VIRTUAL[FRONT], 81))


def test_a_port_that_another_service_publishes_is_none_of_a_virtual_address(networks: Networks) -> None:
    node, client = networks.rig.nodes[0], networks.members[FRONT][0].namespace

    def serve(members: dict[str, list[TaskServer]]) -> None:
        configuration = networks.configuration(node, members)
        front, back, *others = configuration.services
        on_mesh = tuple(replace(each, address=each.address_on(BACK) or "") for each in back.endpoints)
        published = replace(back, ports=(PortConfig(TARGET_PORT, TARGET_PORT),), endpoints=on_mesh)
        node.apply(replace(configuration, services=(front, published, *others)))

    for namespace in (client, node.name):
        serve(dict(networks.members))
        assert in_namespace(namespace, lambda: ask_tcp(node.address)).startswith("bac")
        assert in_namespace(namespace, lambda: ask_tcp(VIRTUAL[FRONT])).startswith("fro")
        serve({BACK: networks.members[BACK]})
        with pytest.raises(ConnectionRefusedError):
            in_namespace(namespace, lambda: ask_tcp(VIRTUAL[FRONT]))


def test_a_port_of_the_node_itself_is_none_of_a_virtual_address(networks: Networks) -> None:
    """The engine translates what comes to any address of the node, for a port published with mode=host."""
    node, client = networks.rig.nodes[0], networks.members[FRONT][0].namespace
    rule = f"PREROUTING -t nat -m addrtype --dst-type LOCAL -p tcp --dport 81 -j DNAT --to 10.0.5.10:{TARGET_PORT}"
    run("ip", "netns", "exec", node.name, "iptables", "-A", *rule.split())
    try:
        for serving in (dict(networks.members), {}):
            node.apply(networks.configuration(node, serving))
            with pytest.raises(ConnectionRefusedError):
                in_namespace(client, lambda: ask_tcp(VIRTUAL[FRONT], 81))
    finally:
        run("ip", "netns", "exec", node.name, "iptables", "-D", *rule.split())


def test_only_the_own_node_answers_for_a_virtual_address(networks: Networks) -> None:
    client = networks.members[FRONT][1].namespace
    ip("-n", client, "neighbour", "flush", "all")
    for _ in range(5):
        assert in_namespace(client, lambda: ask_tcp(VIRTUAL[FRONT])).startswith("fro")
    neighbour = ip("-n", client, "neighbour", "show", VIRTUAL[FRONT]).split()
    bridge = ip("-n", networks.rig.nodes[1].name, "-brief", "link", "show", bridge_name(FRONT)).split()[2]
    assert bridge in neighbour


def test_no_client_is_told_of_a_shorter_way(networks: Networks) -> None:
    client = networks.members[FRONT][0].namespace
    for _ in range(6):
        in_namespace(client, lambda: ask_tcp(VIRTUAL[FRONT]))
    assert "redirect" not in ip("-n", client, "route", "show", "cache")
    icmp = run("ip", "netns", "exec", client, "cat", "/proc/net/snmp").splitlines()
    names, values = [line.split() for line in icmp if line.startswith("Icmp:")]
    assert dict(zip(names, values, strict=True))["InRedirects"] == "0"


def test_a_connection_by_the_virtual_address_outlives_its_withdrawal_and_counts(networks: Networks) -> None:
    node, (old, new, _) = networks.rig.nodes[1], networks.members[FRONT]
    client = networks.members[FRONT][1].namespace
    node.apply(networks.configuration(node, {FRONT: [old]}))
    with in_namespace(client, lambda: socket.create_connection((VIRTUAL[FRONT], TARGET_PORT), CONNECT_S)) as held:
        held.sendall(b"hold")
        withdrawn = networks.configuration(node, {FRONT: [new]}, {FRONT: [old]})
        node.apply(withdrawn)
        assert node.flows(withdrawn) == {"fro0": 1}
        assert in_namespace(client, lambda: ask_tcp(VIRTUAL[FRONT])) == "fro1"
        # The service is gone, its last task still has a client.
        node.apply(networks.configuration(node, {}, {FRONT: [old]}))
        ip("-n", client, "neighbour", "flush", "all")
        old.release.set()
        assert held.recv(64) == b"fro0"
    assert node.flows(withdrawn) == {}


def test_a_connection_to_a_task_that_has_ended_is_reset_when_it_is_used(networks: Networks) -> None:
    """Though the next task's kernel keeps an older connection by the same ports in TIME_WAIT."""
    node, (old, _, new) = networks.rig.nodes[1], networks.members[FRONT]
    client = networks.members[FRONT][1].namespace

    def connect() -> socket.socket:
        return socket.create_connection((VIRTUAL[FRONT], TARGET_PORT), CONNECT_S, source_address=("", 24000))

    node.apply(networks.configuration(node, {FRONT: [new]}))
    with in_namespace(client, connect) as before:
        before.sendall(b"who")
        assert (before.recv(16), before.recv(16)) == (b"fro2", b"")
    assert ":24000" in run("ip", "netns", "exec", new.namespace, "ss", "-Htan", "state", "time-wait")
    node.apply(networks.configuration(node, {FRONT: [old]}))
    with in_namespace(client, connect) as held, networks.rig.unplugged(old.namespace):
        node.apply(networks.configuration(node, {FRONT: [new]}))
        held.sendall(b"who")
        with pytest.raises(ConnectionResetError):
            held.recv(16)


def test_datagrams_of_one_socket_move_to_a_live_task(networks: Networks) -> None:
    node, (old, new, _) = networks.rig.nodes[2], networks.members[FRONT]
    namespace = networks.members[FRONT][2].namespace
    node.apply(networks.configuration(node, {FRONT: [old]}))
    with in_namespace(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(CONNECT_S)
        for serving, draining, answer in (([old], [], b"fro0"), ([new], [old], b"fro1")):
            node.apply(networks.configuration(node, {FRONT: serving}, {FRONT: draining}))
            client.sendto(b"who", (VIRTUAL[FRONT], TARGET_PORT))
            assert client.recv(16) == answer


def test_swapping_tasks_under_load_loses_no_connection(networks: Networks) -> None:
    node, (first, second, _) = networks.rig.nodes[0], networks.members[FRONT]
    lost: list[str] = []
    done = threading.Event()

    def load() -> int:
        count = 0
        while not done.is_set():
            count += 1
            try:
                ask_tcp(VIRTUAL[FRONT])
            except OSError as error:
                lost.append(repr(error))
        return count

    with ThreadPoolExecutor(2, initializer=setns, initargs=(networks.members[FRONT][0].namespace,)) as clients:
        loads = [clients.submit(load) for _ in range(2)]
        for swap in range(30):
            serving, idle = ([first], [second]) if swap % 2 else ([second], [first])
            node.apply(networks.configuration(node, {FRONT: serving}, {FRONT: idle}))
        done.set()
        asked = sum(future.result(30) for future in loads)
    assert asked >= 100
    assert lost == []


def test_a_virtual_address_that_is_gone_is_on_no_bridge(networks: Networks) -> None:
    node = networks.rig.nodes[0]
    bare = networks.configuration(node, {})
    node.apply(NetworkConfiguration(bare.revision, bare.networks, bare.peers))
    assert "/32" not in ip("-n", node.name, "-4", "-brief", "address")
    assert ".200" not in run("ip", "netns", "exec", node.name, "nft", "list", "ruleset")
