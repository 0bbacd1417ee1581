"""Who may speak at the consensus's port, and what TLS does to the bytes: nothing."""

import asyncio
import contextlib
import pickle
import socket
import ssl
import struct
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from orchestrator.model.node import Node, NodeDescription, NodeRole, NodeSpec
from orchestrator.raft.membership import Membership
from orchestrator.raft.tls_socket import UNSENT_MAX, TlsSocket, secure
from orchestrator.state.actions import AddNode
from tests.unit.raft.group import Group, caught_up, peer_tls, until

DEADLINE_S = 10.0


def node(number: int) -> Node:
    spec, address = NodeSpec(role=NodeRole.MANAGER), f"127.0.0.{number}"
    return Node(f"node-{number}", spec, NodeDescription("h"), address, role=NodeRole.MANAGER)


def message(content: object) -> bytes:
    """As PySyncObj frames it."""
    body = zlib.compress(pickle.dumps(content), 3)
    return struct.pack("i", len(body)) + body


async def is_turned_away(group: Group, context: ssl.SSLContext, said: object, asked_from: str = "127.0.0.1") -> bool:
    """Whether a peer that shows this certificate and says this first is hung up on before the port would tire of it."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", group.port, ssl=context, server_hostname="x", local_addr=(asked_from, 0)
    )
    try:
        writer.write(message(said))
        async with asyncio.timeout(0.3):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                return await reader.read() == b""
        return True
    except TimeoutError:
        return False
    finally:
        writer.close()


def run(directory: Path, scenario: Callable[[Group], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S), Group(directory) as group:
            leader = await group.founded()
            second = group.start(2, [1])
            await leader.propose([AddNode(node(number)) for number in (1, 2, 3)])
            await Membership(leader).add_manager(second.address)
            await caught_up(second)
            await second.close()
            await until(leader, lambda: not any(leader.peers.values()))
            await scenario(group)

    asyncio.run(bounded())


def test_the_manager_of_that_address_may_speak(tmp_path: Path) -> None:
    async def scenario(group: Group) -> None:
        assert not await is_turned_away(group, peer_tls(2).connecting(), f"127.0.0.2:{group.port}")

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("number", "role"),
    [(3, NodeRole.MANAGER), (9, NodeRole.MANAGER), (2, NodeRole.WORKER)],
    ids=["another manager", "a manager that was removed", "a worker"],
)
def test_nobody_else_may(tmp_path: Path, number: int, role: NodeRole) -> None:
    async def scenario(group: Group) -> None:
        assert await is_turned_away(group, peer_tls(number, role).connecting(), f"127.0.0.2:{group.port}")

    run(tmp_path, scenario)


def test_a_machine_that_joined_anew_may_speak_from_its_address(tmp_path: Path) -> None:
    """Who was away does not know yet, and would refuse the leader that could tell."""

    async def scenario(group: Group) -> None:
        said = f"127.0.0.2:{group.port}"
        assert not await is_turned_away(group, peer_tls(9).connecting(), said, asked_from="127.0.0.2")
        assert await is_turned_away(group, peer_tls(3).connecting(), said, asked_from="127.0.0.2")

    run(tmp_path, scenario)


@pytest.mark.parametrize("said", ["readonly", "127.0.0.7:1", ["status"], {}], ids=repr)
def test_a_manager_is_asked_for_its_name_and_for_nothing_else(tmp_path: Path, said: object) -> None:
    async def scenario(group: Group) -> None:
        assert await is_turned_away(group, peer_tls(2).connecting(), said)

    run(tmp_path, scenario)


def test_a_stranger_without_a_certificate_is_turned_away(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def scenario(group: Group) -> None:
        assert await is_turned_away(group, context, f"127.0.0.2:{group.port}")

    run(tmp_path, scenario)


# The bytes -------------------------------------------------------------------------------------------------


def pair() -> tuple[TlsSocket, TlsSocket]:
    """Both ends of a connection whose handshake has yet to be made."""
    accepting, connecting = socket.socketpair()
    for raw in (accepting, connecting):
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
    tls = peer_tls(1)
    return (
        secure(accepting, tls.accepting(), lambda _: "client", server_side=True),
        secure(connecting, tls.connecting(), lambda _: "server", server_side=False),
    )


def receive(end: TlsSocket) -> bytes:
    try:
        return end.recv(2**18)
    except BlockingIOError:
        return b""


def test_what_is_said_before_the_handshake_ends_arrives_first() -> None:
    server, client = pair()
    with contextlib.closing(server), contextlib.closing(client):
        assert client.send(b"name ") == 5
        assert client.send(b"and more") == 8
        received = b""
        for _ in range(10):
            received += receive(server)
            receive(client)
        assert (received, server.peer, client.peer) == (b"name and more", "client", "server")


def test_more_than_a_name_is_not_kept_until_the_handshake_ends() -> None:
    server, client = pair()
    with contextlib.closing(server), contextlib.closing(client), pytest.raises(OSError, match="too much"):
        client.send(b"x" * (UNSENT_MAX + 1))


def test_much_arrives_whole_through_a_narrow_way() -> None:
    server, client = pair()
    data = bytes(range(256)) * 2**14
    with contextlib.closing(server), contextlib.closing(client):
        client.send(b"")
        for _ in range(10):
            receive(server)
            receive(client)
        sent, received, waits = 0, b"", 0
        while len(received) < len(data):
            with contextlib.suppress(BlockingIOError):
                sent += client.send(data[sent:])
            waits += sent < len(data)
            received += receive(server)
        assert received == data
        assert waits > 10


def test_who_is_not_admitted_is_refused() -> None:
    def refuse(_: ssl.SSLSocket) -> str:
        raise ConnectionRefusedError("not you")

    accepting, connecting = socket.socketpair()
    for raw in (accepting, connecting):
        raw.setblocking(False)
    tls = peer_tls(1)
    server = secure(accepting, tls.accepting(), refuse, server_side=True)
    client = secure(connecting, tls.connecting(), lambda _: "server", server_side=False)

    def shake_hands() -> None:
        client.send(b"name")
        for _ in range(10):
            receive(server)
            receive(client)

    with contextlib.closing(server), contextlib.closing(client), pytest.raises(ConnectionRefusedError, match="not you"):
        shake_hands()
