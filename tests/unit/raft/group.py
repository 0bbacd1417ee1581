"""Stores in one event loop, for tests; all traffic on 127.0.0.x."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from orchestrator import clock
from orchestrator.manager import authority
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.node import NodeRole
from orchestrator.raft.membership import Membership
from orchestrator.raft.node import RaftStore
from orchestrator.raft.timing import RaftTiming
from orchestrator.raft.tls_socket import PeerTls
from orchestrator.state.actions import CreateCluster

TIMING = RaftTiming(
    tick_period=0.01,
    heartbeat_period=0.04,
    election_timeout_min=0.2,
    election_timeout_max=0.4,
    leader_fallback=0.5,
    connection_retry=0.02,
)
FOUND = CreateCluster(Cluster(id="c"))


@cache
def _authority() -> Cluster:
    return authority.found("c", ClusterSpec(), clock.now())


@cache
def peer_tls(number: int, role: NodeRole = NodeRole.MANAGER) -> PeerTls:
    """As a manager of the group shows itself, or whoever has a certificate of the same root."""
    own = authority.issue(_authority(), f"node-{number}", role, clock.now())
    accepting, connecting = authority.consensus_context(own), authority.client_context(own)
    return PeerTls(lambda: accepting, lambda: connecting, authority.manager_of)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Group:
    """Stores in one loop, closed at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.stores: list[RaftStore] = []

    async def __aenter__(self) -> "Group":
        return self

    async def __aexit__(self, *_: object) -> None:
        for store in self.stores:
            await store.close()

    def start(self, number: int, peers: Sequence[int] = ()) -> RaftStore:
        store = RaftStore(
            f"127.0.0.{number}",
            self.directory / str(number),
            peer_tls(number),
            peers=[f"127.0.0.{peer}" for peer in peers],
            port=self.port,
            timing=TIMING,
        )
        store.start()
        self.stores.append(store)
        return store

    async def founded(self) -> RaftStore:
        store = self.start(1)
        await until(store, lambda: store.is_leader)
        await store.propose([FOUND])
        return store

    async def three(self) -> tuple[RaftStore, RaftStore, RaftStore]:
        first = await self.founded()
        second, third = self.start(2, [1]), self.start(3, [1, 2])
        await Membership(first).add_manager(second.address)
        await Membership(first).add_manager(third.address)
        for store in (second, third):
            await caught_up(store)
        return first, second, third


async def until(store: RaftStore, condition: Callable[[], bool], timeout: float = 5.0) -> None:
    """Wait for the store to say so."""
    changed = asyncio.Event()
    unsubscribe = store.subscribe(changed.set)
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                changed.clear()
                await changed.wait()
    finally:
        unsubscribe()


def token(store: RaftStore) -> str:
    assert store.state.cluster is not None
    return store.state.cluster.worker_token


async def caught_up(store: RaftStore) -> None:
    """Wait until the store has what the leader had when it joined."""
    await until(store, lambda: store.is_ready and store.state.cluster is not None)


async def holds(store: RaftStore, worker_token: str) -> None:
    """Wait until the store's replica has this token."""
    await until(store, lambda: store.state.cluster is not None and token(store) == worker_token)


async def leader_of(*stores: RaftStore) -> RaftStore:
    """Wait until one of the stores leads."""

    def leading(store: RaftStore) -> Callable[[], bool]:
        return lambda: store.is_leader

    waits = [asyncio.create_task(until(store, leading(store))) for store in stores]
    _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    return next(store for store in stores if store.is_leader)
