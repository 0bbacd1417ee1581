"""The shell around the socket tables: files, and processes that end."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from orchestrator.network.connections import NamespaceConnections

HEADER = "  sl  local_address rem_address   st\n"
LISTEN_80 = "   0: 00000000:0050 00000000:0000 0A 0\n"
ESTABLISHED_80 = "   1: 0B01000A:0050 0201000A:C9F8 01 0\n"


def write(proc: Path, text: str) -> None:
    folder = proc / "7" / "net"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tcp").write_text(HEADER + text)


def test_own_process_is_read_from_the_kernel() -> None:
    connections = NamespaceConnections()
    with socket.create_server(("", 0)) as listener:
        port = listener.getsockname()[1]
        assert asyncio.run(connections.accepts(os.getpid(), port))
    assert not asyncio.run(connections.accepts(os.getpid(), port))


def test_a_process_that_ended_has_no_connections(tmp_path: Path) -> None:
    connections = NamespaceConnections(tmp_path)
    assert not asyncio.run(connections.accepts(7, 80))
    assert asyncio.run(connections.open_count(7)) == 0


def test_a_machine_without_ipv6_is_read_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, LISTEN_80)
    assert asyncio.run(NamespaceConnections(tmp_path).accepts(7, 80))


def test_connections_of_a_closed_door_are_counted_on(tmp_path: Path) -> None:
    connections = NamespaceConnections(tmp_path)
    write(tmp_path, LISTEN_80 + ESTABLISHED_80)
    assert asyncio.run(connections.open_count(7)) == 1
    write(tmp_path, ESTABLISHED_80)
    assert asyncio.run(connections.open_count(7)) == 1


def test_other_errors_are_raised(tmp_path: Path) -> None:
    (tmp_path / "7" / "net" / "tcp").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        asyncio.run(NamespaceConnections(tmp_path).accepts(7, 80))
