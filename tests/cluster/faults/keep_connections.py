"""A client that keeps connections, run inside a node with host, port, how many, and the file that lets it go on.

It has one request answered on each connection and waits for the file; then it sends another on each, all at once.
Prints, as JSON, for each connection: the node that answered first, how the second request ended, and after how many
seconds.
"""

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

GO_SECONDS = 60.0
ANSWER_SECONDS = 90.0


def ask(connection: http.client.HTTPConnection) -> str:
    """The name of the node that answered."""
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return str(answer.headers["X-Node"])


def ask_again(connection: http.client.HTTPConnection) -> tuple[str, float]:
    """How that ended, and after how many seconds."""
    began = time.monotonic()
    try:
        ask(connection)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, time.monotonic() - began
    return "answered", time.monotonic() - began


def main(host: str, port: int, count: int, go: Path) -> None:
    """Does it all."""
    connections = [http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        names = list(pool.map(ask, connections))
        go.with_suffix(".ready").touch()
        deadline = time.monotonic() + GO_SECONDS
        while not go.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        print(json.dumps([(name, *end) for name, end in zip(names, pool.map(ask_again, connections))]))  # noqa: B905, T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
