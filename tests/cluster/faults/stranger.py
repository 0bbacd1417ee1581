"""Runs inside a container that is no node, with nothing but the standard library: one JSON object on stdout."""

import contextlib
import json
import random
import socket
import ssl
import struct
import sys
import time
import urllib.error
import urllib.request

TCP_PORTS = (53, 2375, 2376, 2377, 2378, 2379, 4789, 4243, 7946, 80, 443)
UDP_PORTS = (53, 4789, 7946, 2377, 2378)
REFUSED = ("/session", "/renew", "/leave", "/raft", "/api/v1.45/services", "/api/v1.45/secrets", "/api/v1.45/info")
WAIT_S = 1.0
DNS_QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x00\x00\x01\x00\x01"
HTTP_QUERY = b"GET /v1.45/containers/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def answer_of_tcp(address: str, port: int, data: bytes) -> bytes:
    with contextlib.suppress(OSError), socket.create_connection((address, port), WAIT_S) as connection:
        connection.settimeout(WAIT_S)
        connection.sendall(data)
        return connection.recv(200)
    return b""


def answer_of_udp(address: str, port: int, data: bytes) -> bytes:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(WAIT_S)
        datagrams.connect((address, port))
        datagrams.send(data)
        return datagrams.recv(512)
    return b""


def https(address: str, path: str, data: bytes | None = None) -> tuple[int, str] | None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = urllib.request.Request(f"https://{address}:2377{path}", data=data)
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return None


def explore(address: str) -> dict[str, object]:
    answered = {}
    for port in TCP_PORTS:
        # A TLS alert is no answer: it says that this is not TLS.
        reply = answer_of_tcp(address, port, HTTP_QUERY)
        if reply and not reply.startswith(b"\x15\x03"):
            answered[f"tcp/{port}"] = repr(reply)
    length = struct.pack(">H", len(DNS_QUERY))
    if reply := answer_of_tcp(address, 53, length + DNS_QUERY):
        answered["dns/tcp"] = repr(reply)
    for port in UDP_PORTS:
        if reply := answer_of_udp(address, port, DNS_QUERY):
            answered[f"udp/{port}"] = repr(reply)
    root = https(address, "/ca")
    token = "SWMTKN-1-" + "0" * 50 + "-" + "0" * 25
    description = {"hostname": "x"}
    wanted = {"token": token, "certificate_request": "x", "description": description, "address": "10.0.0.1"}
    join = https(address, "/join", json.dumps(wanted).encode())
    refused = {path: https(address, path) for path in REFUSED} if root else {}
    return {
        "answered": answered,
        "ca": root[1] if root else None,
        "join": join[0] if join else None,
        "refused": {path: reply[0] if reply else None for path, reply in refused.items()},
    }


def throw(address: str, seed: int) -> dict[str, int]:
    dice = random.Random(seed)
    thrown = 0
    heads = (b"", b"\x16\x03\x01\x02\x00\x01", HTTP_QUERY, struct.pack("<i", 2**31 - 1), struct.pack("<i", -1), b"\x00")
    for port in TCP_PORTS:
        for head in heads:
            for size in (0, 10, 5000):
                thrown += 1
                answer_of_short_tcp(address, port, head + dice.randbytes(size))
        flood(address, port, dice.randbytes(65536))
    for port in UDP_PORTS:
        for _ in range(200):
            thrown += 1
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.sendto(dice.randbytes(dice.choice((0, 1, 12, 50, 1400, 8000))), (address, port))
    return {"thrown": thrown}


def answer_of_short_tcp(address: str, port: int, data: bytes) -> None:
    with contextlib.suppress(OSError), socket.create_connection((address, port), WAIT_S) as connection:
        connection.settimeout(0.05)
        connection.sendall(data)
        connection.recv(200)


def flood(address: str, port: int, block: bytes) -> None:
    """Send for two seconds at the most, or until the other end has had enough."""
    end = time.monotonic() + 2
    with contextlib.suppress(OSError), socket.create_connection((address, port), WAIT_S) as connection:
        connection.settimeout(0.5)
        connection.sendall(struct.pack("<i", 2**31 - 1))
        while time.monotonic() < end:
            connection.sendall(block)


def hold(address: str) -> dict[str, int]:
    """Connect hundreds of times to both of the managers' ports; how many are still open after a while."""
    held = []
    for number in range(300):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection((address, (2377, 2378)[number % 2]), 0.2))
    time.sleep(3)
    still_open = 0
    for connection in held:
        connection.setblocking(False)
        try:
            still_open += connection.recv(1) != b""
        except BlockingIOError:
            still_open += 1
        except OSError:
            continue
    return {"open": still_open}


action, target, *rest = sys.argv[1:]
result = {"explore": explore, "hold": hold}[action](target) if action != "throw" else throw(target, int(rest[0]))
sys.stdout.write(json.dumps(result))
