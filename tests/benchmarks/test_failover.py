"""How long the cluster takes no writes when its leader's machine dies: kill -9 of the container, again and again."""

from __future__ import annotations

import dataclasses
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tabulate import tabulate

from pytest_swarm.cluster import Cluster
from pytest_swarm.node import Node
from pytest_swarm.waiting import wait_until

pytestmark = pytest.mark.benchmark

KILLS = {"orchestrator": 20, "docker": 10}
"""Docker's swarm mode takes half a minute for each."""
MEDIAN_SECONDS_MAX = 0.6
WORST_SECONDS_MAX = 1.2
GIVE_UP_SECONDS = 60.0
ANSWER_SECONDS_MAX = 5.0
"""A manager without a leader says so within this time."""
PAUSE_SECONDS = 0.02
"""Between two attempts of one client: how finely the outage is measured."""


@dataclasses.dataclass(frozen=True)
class Failover:
    """Seconds from the kill on. `write`: a survivor acknowledged one; `slowest_answer`: of all calls meanwhile."""

    write: float
    slowest_answer: float


def test_a_new_leader_takes_writes_soon(
    swarm: Cluster, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failovers = [_kill_the_leader(swarm, number) for number in range(KILLS[swarm.engine.name])]
    writes = sorted(failover.write for failover in failovers)
    slowest_answer = max(failover.slowest_answer for failover in failovers)
    row = [swarm.engine.name, len(writes), writes[0], statistics.median(writes), writes[-1], slowest_answer]
    heads = ["engine", "kills", "min s", "median s", "max s", "slowest answer s"]
    record_property("failover_seconds", [round(seconds, 3) for seconds in writes])
    with capsys.disabled():
        print("\n" + tabulate([row], heads, floatfmt=".2f") + "\n" + " ".join(f"{each:.2f}" for each in writes))  # noqa: T201
    if swarm.engine.name == "orchestrator":
        assert statistics.median(writes) <= MEDIAN_SECONDS_MAX
        assert writes[-1] <= WORST_SECONDS_MAX
        assert slowest_answer <= ANSWER_SECONDS_MAX


def _kill_the_leader(swarm: Cluster, number: int) -> Failover:
    leader = swarm.leader
    survivors = [node for node in swarm.nodes[: swarm.managers] if node is not leader]
    with ThreadPoolExecutor(len(survivors)) as pool:
        writers = [_Writer(node, f"kill-{number}", leader.name) for node in survivors]
        written = threading.Event()
        ended = [pool.submit(writer.run, time.monotonic(), written) for writer in writers]
        leader.container.kill()
        writes = [end.result() for end in ended]
    leader.container.start()
    wait_until(leader.answers, what=f"API of {leader.name}", timeout=GIVE_UP_SECONDS)
    leader.open_socket_to_owner()
    swarm.wait_ready()
    return Failover(min(write for write in writes if write is not None), max(writer.slowest for writer in writers))


class _Writer:
    """A client of one surviving manager. `slowest` is how long its slowest call took, in seconds."""

    def __init__(self, node: Node, name: str, old_leader: str) -> None:
        self._node = node
        self._name = name
        self._old_leader = old_leader
        self._attempts = 0
        self.slowest = 0.0

    def run(self, began: float, written: threading.Event) -> float | None:
        """Write until a new leader acknowledged it; returns after how many seconds, None when another was first.

        What the old one still acknowledged while it was being killed does not count: who leads is asked before.
        """
        while (now := time.monotonic()) - began < GIVE_UP_SECONDS:
            if self._try(self._check_leader) and self._try(self._write):
                written.set()
                return time.monotonic() - began
            if written.is_set():
                return None
            time.sleep(max(PAUSE_SECONDS - (time.monotonic() - now), 0.0))
        return None

    def _try(self, call: Callable[[], bool]) -> bool:
        from docker.errors import APIError

        asked = time.monotonic()
        try:
            return call()
        except (APIError, OSError):
            return False
        finally:
            self.slowest = max(self.slowest, time.monotonic() - asked)

    def _write(self) -> bool:
        self._attempts += 1
        self._node.client.api.create_config(f"{self._name}-{self._node.name}-{self._attempts}", b"x")
        return True

    def _check_leader(self) -> bool:
        nodes = self._node.client.api.nodes()
        leaders = [node for node in nodes if (node.get("ManagerStatus") or {}).get("Leader")]
        return bool(leaders) and leaders[0]["Description"]["Hostname"] != self._old_leader
