"""A real cluster, and the plugin's faults as a nemesis's hands on it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_swarm.cluster import Cluster
from pytest_swarm.fault import Fault as FaultInForce
from tests.consistency.nemesis import FAULTS, Fault, FaultKind

_OF_SWARMD = (FaultKind.CRASH, FaultKind.SKEW)
LEADERSHIP = re.compile(r"raft leadership address=(\S+) leading_term=(\d+)")


class ClusterTarget:
    """Implements `live_run.Target`. Managers go by the names of their nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._active: list[FaultInForce] = []
        self.tells_state = self._has_swarmd = cluster.engine.name != "docker"
        self.managers: Sequence[str] = [node.name for node in cluster.nodes[: cluster.managers]]
        self.worker = next((node.name for node in cluster.nodes[cluster.managers :]), None)

    @property
    def faults(self) -> list[Fault]:
        """Those that can be had: Docker's swarm mode has no daemon of its own, and no clock."""
        return [fault for fault in FAULTS if self._has_swarmd or fault.kind not in _OF_SWARMD]

    def socket(self, name: str) -> Path:
        """As `live_run.Target` says, like those below."""
        return self._cluster.directory / name / "docker.sock"

    def find_leader(self) -> str:
        return self._cluster.leader.name

    def leaderships(self, since: int) -> Iterator[tuple[str, int]]:
        for name in self.managers:
            log = self._cluster.node(name).container.logs(since=since).decode(errors="replace")
            for address, term in LEADERSHIP.findall(log):
                yield address, int(term)

    def prepare(self) -> None:
        # From now on clocks jump without a new start of their daemons.
        if self._has_swarmd:
            for name in self.managers:
                self._cluster.faults.skew_clock(name, 0.0).heal()

    def heal_all(self) -> None:
        self._active.clear()
        self._cluster.faults.heal()

    def kill(self, names: Sequence[str]) -> None:
        self._active += [self._cluster.faults.kill(name) for name in names]

    def restart(self, names: Sequence[str]) -> None:
        self._end()

    def crash(self, names: Sequence[str]) -> None:
        self._active += [self._cluster.faults.kill_swarmd(name) for name in names]

    def wait_restarted(self, names: Sequence[str]) -> None:
        self._end()

    def pause(self, names: Sequence[str]) -> None:
        self._active += [self._cluster.faults.pause(name) for name in names]

    def resume(self, names: Sequence[str]) -> None:
        self._end()

    def cut(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._active += [self._cluster.faults.partition(one, other, one_way=True) for one, other in pairs]

    def heal(self) -> None:
        self._end()

    def skew(self, name: str, seconds: float) -> None:
        if seconds:
            self._active.append(self._cluster.faults.skew_clock(name, seconds))
        else:
            self._end()

    def _end(self) -> None:
        while self._active:
            self._active.pop().end()
