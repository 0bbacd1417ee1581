"""A node vanishes from under its tasks' clients: gossip, balancers and tracked connections on a real kernel."""

import asyncio
import collections
import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
from pyroute2.netns import setns

from orchestrator.agent.failure_follower import FailureFollower
from orchestrator.model.gossip import GossipConfiguration, Keyring
from orchestrator.model.network import Peer
from orchestrator.network.gossip import GossipNode
from tests.cluster.network.rig import PUBLISHED_PORT, Node, Rig, eventually, ip, missing_for_rig, read_all, rig

CLIENTS = 8
PATIENCE_S = 5.0
"""Of a client; it repeats its SYN after 1 and 3 s."""
KEYRING = Keyring("cluster", ("of the test",))
MISSING = missing_for_rig()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture
def cluster() -> Iterator[Rig]:
    with rig() as built:
        yield built


@contextlib.contextmanager
def gossiping(cluster: Rig) -> Iterator[dict[str, GossipNode]]:
    """Failure detection on every node, its verdicts carried out there."""
    peers = tuple(Peer(node.name, node.address) for node in cluster.nodes)
    detectors = {node.name: GossipNode() for node in cluster.nodes}

    async def take_part(node: Node) -> None:
        detector = detectors[node.name]
        others = tuple(peer for peer in peers if peer.node_id != node.name)
        detector.follow(GossipConfiguration(node.name, node.address, KEYRING, others))
        follower = FailureFollower(detector, node.data_plane, held_dead=lambda _: None)
        await asyncio.gather(detector.run(), follower.run())

    running = [node.submit(take_part(node)) for node in cluster.nodes]
    try:
        assert eventually(lambda: all(len(detector.heard) == len(peers) - 1 for detector in detectors.values()))
        yield detectors
    finally:
        for future in running:
            future.cancel()
            with contextlib.suppress(CancelledError):
                future.result(PATIENCE_S)


class Clients:
    """Clients that ask the first node again and again, each time by a fresh connection."""

    def __init__(self, cluster: Rig) -> None:
        self._cluster = cluster
        self._ended = threading.Event()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0
        self.last_from: dict[str, float] = {}
        """When a task last answered."""

    def __enter__(self) -> "Clients":
        self._pool = ThreadPoolExecutor(CLIENTS, initializer=setns, initargs=(self._cluster.client,))
        self._futures = [self._pool.submit(self._ask_on) for _ in range(CLIENTS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()
        for future in self._futures:
            future.result()

    def _ask_on(self) -> None:
        while not self._ended.wait(0.02):
            began = time.monotonic()
            outcome = self._ask()
            self.outcomes[outcome] += 1
            self.last_from[outcome] = time.monotonic()
            self.slowest = max(self.slowest, time.monotonic() - began)

    def _ask(self) -> str:
        try:
            with socket.socket() as client:
                client.settimeout(PATIENCE_S)
                client.connect((self._cluster.nodes[0].address, PUBLISHED_PORT))
                client.sendall(b"who")
                return read_all(client)
        except OSError as error:
            return repr(error)


def test_a_vanished_node_costs_what_was_in_flight_on_it(cluster: Rig) -> None:
    first, _, last = cluster.nodes
    tasks = cluster.tasks[:3]
    cluster.apply(tasks)
    with gossiping(cluster) as detectors, Clients(cluster) as clients:
        assert eventually(lambda: {"t0", "t1", "t2"} <= set(clients.outcomes))
        died = time.monotonic()
        ip("-n", last.name, "link", "set", "eth0", "down")
        assert eventually(lambda: detectors[first.name].dead == {last.name})
        noticed = time.monotonic() - died
        served = clients.outcomes.total()
        # Every client has come round again since.
        assert eventually(lambda: clients.outcomes.total() > served + 20 * CLIENTS)
        lost = clients.outcomes.total() - sum(clients.outcomes[task] for task in ("t0", "t1", "t2"))
        print(  # noqa: T201
            f"noticed after {noticed:.2f} s; {lost} of {clients.outcomes.total()} lost; slowest {clients.slowest:.2f} s"
        )
        assert noticed < 3.0
        assert lost <= CLIENTS / len(tasks) + 1, clients.outcomes
        ip("-n", last.name, "link", "set", "eth0", "up")
        assert eventually(lambda: not detectors[first.name].dead)
        back = time.monotonic()
        assert eventually(lambda: clients.last_from["t2"] > back)


def test_how_long_it_takes(cluster: Rig) -> None:
    first, second, last = cluster.nodes
    seconds = []
    with gossiping(cluster) as detectors:
        for _ in range(5):
            died = time.monotonic()
            ip("-n", last.name, "link", "set", "eth0", "down")
            others = (detectors[first.name], detectors[second.name])
            assert eventually(lambda others=others: all(each.dead == {last.name} for each in others))  # type: ignore[misc]
            seconds.append(time.monotonic() - died)
            ip("-n", last.name, "link", "set", "eth0", "up")
            assert eventually(lambda: not any(detector.dead for detector in detectors.values()))
    print(f"known everywhere after {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s")  # noqa: T201
    assert statistics.median(seconds) < 2.0
