"""What importing PySyncObj must not do to everybody else."""

import socket

import orchestrator.raft.transport


def test_the_socket_module_stays_as_it_was() -> None:
    assert orchestrator.raft.transport
    assert socket.inet_ntop(socket.AF_INET, b"\x7f\x00\x00\x01") == "127.0.0.1"
