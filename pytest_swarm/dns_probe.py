"""Asks for a name again and again and prints each answer: what the plugin runs inside a container on the network.

    python3 -c "$(cat dns_probe.py)" <name> <seconds between questions>

It needs no library and little of Python's own, for it runs in whatever image has a Python. One line per question:

    <asked at> <answered at> <code> <smallest TTL> <address>,<address>,...

Times are seconds since the epoch; code is DNS's (0 = no error, 3 = no such name), -1 when nothing came within a second.
"""

import socket
import sys
import time

ANSWER_SECONDS = 1.0
PORT = 53
TYPE_A = 1
TRUNCATED = 0x02


def question(number: int, name: str) -> bytes:
    """One question for addresses, in DNS's wire format."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return number.to_bytes(2, "big") + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"


def after_name(data: bytes, at: int) -> int:
    """Where the name that begins there ends."""
    while data[at]:
        if data[at] >= 0xC0:
            return at + 2
        at += 1 + data[at]
    return at + 1


def read(data: bytes) -> tuple[int, int, list[str]]:
    """Code, smallest TTL and addresses of an answer."""
    at = after_name(data, 12) + 4
    addresses: list[str] = []
    ttl = 0
    for _ in range(int.from_bytes(data[6:8], "big")):
        at = after_name(data, at)
        kind = int.from_bytes(data[at : at + 2], "big")
        lives = int.from_bytes(data[at + 4 : at + 8], "big")
        size = int.from_bytes(data[at + 8 : at + 10], "big")
        at += 10
        if kind == TYPE_A:
            ttl = min(ttl, lives) if addresses else lives
            addresses.append(".".join(str(byte) for byte in data[at : at + size]))
        at += size
    return data[3] & 15, ttl, addresses


def ask(server: str, number: int, name: str) -> tuple[int, int, list[str]]:
    """What the server says; code -1 when it says nothing."""
    asked = question(number, name)
    try:
        data = exchange(server, asked)
        if data[2] & TRUNCATED:
            data = exchange_whole(server, asked)
    except OSError:
        return -1, 0, []
    return read(data)


def exchange(server: str, asked: bytes) -> bytes:
    """The answer to a question, which may be cut short."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ANSWER_SECONDS)
        client.connect((server, PORT))
        client.send(asked)
        data = client.recv(4096)
        while data[:2] != asked[:2]:
            data = client.recv(4096)
        return data


def exchange_whole(server: str, asked: bytes) -> bytes:
    """The answer to a question asked over TCP, where it has a length before it and is whole."""
    with socket.create_connection((server, PORT), ANSWER_SECONDS) as client, client.makefile("rb") as answers:
        client.sendall(len(asked).to_bytes(2, "big") + asked)
        return answers.read(int.from_bytes(answers.read(2), "big"))


def nameserver() -> str:
    """The first one this container is told to ask."""
    with open("/etc/resolv.conf") as lines:
        return next(line.split()[1] for line in lines if line.startswith("nameserver"))


def main(name: str, interval: float) -> None:
    """Ask until killed."""
    server = nameserver()
    number = 0
    while True:
        number = (number + 1) % 65536
        asked = time.time()
        code, ttl, addresses = ask(server, number, name)
        answered = time.time()
        sys.stdout.write("%.6f %.6f %d %d %s\n" % (asked, answered, code, ttl, ",".join(sorted(addresses))))  # noqa: UP031
        sys.stdout.flush()
        time.sleep(max(0.0, asked + interval - time.time()))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
