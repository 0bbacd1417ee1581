"""What a node can reach, asked from inside the node."""

from __future__ import annotations

import re

from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until

CONNECT_SECONDS = 1.5
RECEIVE_SECONDS = 5.0
MANAGEMENT_PORT = 2377

_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).close()"
_SEND = """
import socket, sys
own = socket.socket(type=socket.SOCK_DGRAM)
for number in range(5):
    own.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
"""
_RECEIVE = """
import socket, sys
own = socket.socket(type=socket.SOCK_DGRAM)
own.bind(("", int(sys.argv[1])))
own.settimeout(float(sys.argv[2]))
print(own.recv(1))
"""


def connects(node: Node, other: Node, port: int = MANAGEMENT_PORT) -> bool:
    """Whether a TCP connection from one node to another is accepted in time."""
    command = ["python3", "-c", _CONNECT, other.address, str(port), str(CONNECT_SECONDS)]
    status, _ = node.container.exec_run(command)
    return bool(status == 0)


def echoes(node: Node, other: Node, count: int) -> int:
    """How many of so many echo requests are answered."""
    _, output = node.container.exec_run(["ping", "-q", "-i", "0.02", "-W", "1", "-c", str(count), other.address])
    return int(re.search(rb"(\d+) received", output)[1])  # type: ignore[index]


def datagram_arrives(node: Node, other: Node, port: int = 9000) -> bool:
    """Whether a datagram from one node reaches another, whatever the way back is like."""
    api = other.container.client.api
    receiver = api.exec_create(other.container.id, ["python3", "-c", _RECEIVE, str(port), str(RECEIVE_SECONDS)])["Id"]
    api.exec_start(receiver, detach=True)
    listening = ["grep", "-q", f":{port:04X} ", "/proc/net/udp"]

    def listens() -> Done[None] | NotYet:
        return Done(None) if other.container.exec_run(listening)[0] == 0 else NotYet("nobody listens")

    def ended() -> Done[int] | NotYet:
        state = api.exec_inspect(receiver)
        return NotYet("it waits") if state["Running"] else Done(state["ExitCode"])

    wait_until(listens, what=f"the receiver on {other.name}", timeout=20)
    node.run_command(["python3", "-c", _SEND, other.address, str(port)])
    return wait_until(ended, what=f"the end of the receiver on {other.name}", timeout=20) == 0


def process(node: Node, *pattern: str) -> str:
    """The id of a process that the node itself has started."""
    return node.run_command(["pgrep", "--parent", "1", *pattern]).strip()
