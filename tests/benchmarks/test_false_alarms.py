"""With twice as much to compute as the machine has cores for, no live node may be held for dead.

`FALSE_ALARM_SECONDS=60` shortens the ten minutes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from tabulate import tabulate

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(900),
]

SECONDS = float(os.environ.get("FALSE_ALARM_SECONDS", "600"))
OVERLOAD = 2
PERIOD = 0.5


def test_no_live_node_is_held_for_dead(
    swarm: Cluster, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    from docker.errors import DockerException

    burners = OVERLOAD * (os.cpu_count() or 1)
    began = time.time()
    for number in range(burners):
        burn(swarm.nodes[number % len(swarm.nodes)], SECONDS)
    down: list[str] = []
    unanswered = asked = 0
    leaders: list[str] = []
    while time.time() - began < SECONDS:
        asked += 1
        try:
            nodes = swarm.api.nodes()
        except (DockerException, OSError):
            unanswered += 1
        else:
            down += [node["Description"]["Hostname"] for node in nodes if node["Status"]["State"] != "ready"]
            leader = next(
                (n["Description"]["Hostname"] for n in nodes if (n.get("ManagerStatus") or {}).get("Leader")), ""
            )
            leaders += [leader] if leaders[-1:] != [leader] else []
        time.sleep(PERIOD)  # how finely it is looked at
    accused = {node.name: held_dead(node, began) for node in swarm.nodes}
    row = {
        "engine": swarm.engine.name,
        "burning processes": burners,
        "seconds": SECONDS,
        "looks": asked,
        "without an answer": unanswered,
        "node down": len(down),
        "held dead by gossip": sum(accused.values()),
        "leaders": " ".join(leaders),
    }
    for name, value in row.items():
        record_property(name, value)
    with capsys.disabled():
        print("\n" + tabulate([row], headers="keys"))  # noqa: T201
    assert not down
    assert not any(accused.values()), accused


def burn(node: Node, seconds: float) -> None:
    """Keep one core busy from inside the node, for so long."""
    api = node.container.client.api
    command = ["timeout", str(int(seconds)), "sh", "-c", "while :; do :; done"]
    api.exec_start(api.exec_create(node.container.id, command)["Id"], detach=True)


def held_dead(node: Node, since: float) -> int:
    """How often the node's own gossip has held another one for dead since then."""
    log = node.container.logs(since=int(since)).decode(errors="replace")
    return sum("gossip:" in line and "is held dead" in line for line in log.splitlines())
