"""Gossip over real sockets on 127.0.0.0/8: each node has an address of its own."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable

from orchestrator.model.gossip import GossipConfiguration, Keyring
from orchestrator.model.network import Peer
from orchestrator.network.gossip import GossipNode
from orchestrator.network.gossip_message_rules import Kind, Message, Standing, Update
from orchestrator.network.gossip_messages import MAX_DATAGRAM_BYTES, NONCE_BYTES, Sealer

DEADLINE_S = 20.0
KEYRING = Keyring("cluster", ("first",))
NEXT = Keyring("cluster", ("first", "second"))
TURNED = Keyring("cluster", ("second", "first"))
NAMES = ("a", "b", "c")
ADDRESSES = {name: f"127.7.46.{number}" for number, name in enumerate(NAMES, start=11)}
STRANGER = "127.7.46.99"


def free_port() -> int:
    """A UDP port that is free on all the addresses."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            first.bind((ADDRESSES["a"], 0))
            port: int = first.getsockname()[1]
            with contextlib.suppress(OSError):
                for name in NAMES[1:]:
                    other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    other.bind((ADDRESSES[name], port))
                return port


def configuration(name: str, keyring: Keyring = KEYRING) -> GossipConfiguration:
    others = tuple(Peer(other, address) for other, address in ADDRESSES.items() if other != name)
    return GossipConfiguration(name, ADDRESSES[name], keyring, others)


class Nodes:
    """Three nodes in one process."""

    def __init__(self) -> None:
        self.port = free_port()
        self.nodes = {name: GossipNode(port=self.port) for name in NAMES}
        self.running: dict[str, asyncio.Task[None]] = {}
        self.dead_ever: dict[str, frozenset[str]] = dict.fromkeys(NAMES, frozenset())

    def start(self, name: str, keyring: Keyring = KEYRING) -> None:
        self.nodes[name].follow(configuration(name, keyring))
        self.running[name] = asyncio.create_task(self.nodes[name].run())

    async def end(self, name: str) -> None:
        task = self.running.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def until(self, name: str, condition: Callable[[], bool]) -> float:
        """Wait for what shows in the node's verdicts; returns the seconds it took."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await self.nodes[name].wait_changed()
                self.dead_ever[name] |= self.nodes[name].dead
        return asyncio.get_running_loop().time() - began

    async def met(self) -> None:
        """Wait until each has heard each: before that, silence means nothing."""
        async with asyncio.timeout(DEADLINE_S):
            while not all(len(self.nodes[name].heard) == len(self.running) - 1 for name in self.running):
                await asyncio.sleep(0.01)

    async def refused(self, name: str, reason: str) -> None:
        """Wait until the node has dropped something for that reason."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.nodes[name].refused.get(reason):
                await asyncio.sleep(0.01)

    def send(self, datagram: bytes, source: str, to: str = "a") -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((source, 0))
            sender.sendto(datagram, (ADDRESSES[to], self.port))


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Nodes]:
    nodes = Nodes()
    for name in NAMES:
        nodes.start(name)
    try:
        await nodes.met()
        yield nodes
    finally:
        for name in list(nodes.running):
            await nodes.end(name)


def test_one_that_ends_is_held_dead_and_taken_back_when_it_returns() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            assert all(node.dead == frozenset() for node in nodes.nodes.values())
            await nodes.end("c")
            await nodes.until("a", lambda: nodes.nodes["a"].dead == {"c"})
            await nodes.until("b", lambda: nodes.nodes["b"].dead == {"c"})
            nodes.start("c")
            await nodes.until("a", lambda: not nodes.nodes["a"].dead)
            await nodes.until("b", lambda: not nodes.nodes["b"].dead)

    asyncio.run(scenario())


def test_a_rotation_of_the_keys_is_not_noticed() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            for keyring in (NEXT, TURNED, Keyring("cluster", ("second", "third"))):
                for name in NAMES:
                    nodes.nodes[name].follow(configuration(name, keyring))
                    await asyncio.sleep(0.5)
            assert all(node.dead == frozenset() for node in nodes.nodes.values())
            assert all(not node.refused.get("unknown key") for node in nodes.nodes.values())
            await nodes.end("c")
            await nodes.until("a", lambda: nodes.nodes["a"].dead == {"c"})

    asyncio.run(scenario())


def test_what_is_not_from_a_member_is_dropped_and_counted() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            accusation = Message("b", 1, 1, Kind.WORD, 0, updates=(Update("c", Standing.DEAD, 2**30, "b"),))
            nonce = os.urandom(NONCE_BYTES)
            for datagram, source, reason in (
                (b"hello", STRANGER, "stranger"),
                (os.urandom(500), ADDRESSES["b"], "garbage"),
                (bytes(MAX_DATAGRAM_BYTES + 100), ADDRESSES["b"], "oversize"),
                (Sealer(Keyring("cluster", ("other",))).seal(accusation, "a", nonce), ADDRESSES["b"], "unknown key"),
                (Sealer(Keyring("other", ("first",))).seal(accusation, "a", nonce), ADDRESSES["b"], "foreign cluster"),
                (Sealer(KEYRING).seal(accusation, "c", nonce), ADDRESSES["b"], "forged"),
                (Sealer(KEYRING).seal(accusation, "a", nonce), ADDRESSES["b"], "unproven"),
            ):
                nodes.send(datagram, source)
                await nodes.refused("a", reason)
            assert nodes.nodes["a"].dead == frozenset()

    asyncio.run(scenario())


def test_without_keys_it_does_not_listen() -> None:
    async def scenario() -> None:
        nodes = Nodes()
        nodes.start("a", Keyring())
        await asyncio.sleep(0.1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((ADDRESSES["a"], nodes.port))
        await nodes.end("a")

    asyncio.run(scenario())


def test_a_taken_port_is_tried_again() -> None:
    async def scenario() -> None:
        nodes = Nodes()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            holder.bind((ADDRESSES["a"], nodes.port))
            for name in NAMES:
                nodes.start(name)
            await asyncio.sleep(0.2)
        await nodes.met()
        await nodes.end("b")
        await nodes.until("a", lambda: nodes.nodes["a"].dead == {"b"})
        for name in ("a", "c"):
            await nodes.end(name)

    asyncio.run(scenario())
