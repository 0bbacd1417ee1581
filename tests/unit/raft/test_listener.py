"""Strangers at the Raft port, and managers that go on nevertheless."""

import asyncio
import contextlib
import resource
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from orchestrator.raft.listener import HANDSHAKE_BYTES_MAX, PENDING_PER_ADDRESS_MAX
from orchestrator.raft.membership import Membership
from tests.unit.raft.group import Group, caught_up

DEADLINE_S = 10.0
FLOOD_BYTES = 32 * 2**20
GARBAGE = {
    "a message of two gigabytes": struct.pack("<i", 2**31 - 1),
    "a negative length": struct.pack("<i", -5) + b"x" * 100,
    "an empty message": struct.pack("<i", 0) * 100,
    "no length": b"\xff",
    "a pickle": struct.pack("<i", 4) + b"cos\n",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
}


async def flood(group: Group, beginning: bytes) -> int:
    """Send for as long as the port takes it; returns how many bytes that were."""
    reader, writer = await asyncio.open_connection("127.0.0.1", group.port)
    sent = 0
    with contextlib.suppress(ConnectionError):
        writer.write(beginning)
        while sent < FLOOD_BYTES:
            writer.write(b"\x00" * 65536)
            await writer.drain()
            sent += 65536
        await reader.read()
    writer.close()
    return sent


async def is_hung_up(group: Group, data: bytes) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", group.port)
    writer.write(data)
    try:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(DEADLINE_S):
                return await reader.read() == b""
        return True
    finally:
        writer.close()


def run(directory: Path, scenario: Callable[[Group], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(4 * DEADLINE_S), Group(directory) as group:
            await scenario(group)

    asyncio.run(bounded())


@pytest.mark.parametrize("beginning", GARBAGE.values(), ids=GARBAGE)
def test_a_stranger_that_floods_the_port_is_cut_off_early(tmp_path: Path, beginning: bytes) -> None:
    async def scenario(group: Group) -> None:
        leader = await group.founded()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert await flood(group, beginning) < FLOOD_BYTES
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < FLOOD_BYTES / 2 / 1024
        assert leader.is_leader

    run(tmp_path, scenario)


@pytest.mark.parametrize("data", [b"", b"\x00", *GARBAGE.values()], ids=["silence", "a byte", *GARBAGE])
def test_a_stranger_that_waits_is_hung_up_on(tmp_path: Path, data: bytes) -> None:
    async def scenario(group: Group) -> None:
        await group.founded()
        assert await is_hung_up(group, data)

    run(tmp_path, scenario)


def test_strangers_that_hold_the_port_keep_no_manager_out(tmp_path: Path) -> None:
    async def scenario(group: Group) -> None:
        leader = await group.founded()
        held = [
            await asyncio.open_connection("127.0.0.1", group.port, local_addr=(f"127.0.0.{100 + number % 20}", 0))
            for number in range(200)
        ]
        try:
            second = group.start(2, [1])
            await Membership(leader).add_manager(second.address)
            await caught_up(second)
        finally:
            for _, writer in held:
                writer.close()

    run(tmp_path, scenario)


def test_the_handshake_of_a_manager_fits_the_room_strangers_have() -> None:
    assert HANDSHAKE_BYTES_MAX >= 2048
    assert PENDING_PER_ADDRESS_MAX > 2
