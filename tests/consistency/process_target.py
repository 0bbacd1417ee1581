"""Managers as processes of this machine: killed and stopped by real signals, over 127.0.0.x, without Docker."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.consistency.cluster_target import LEADERSHIP
from tests.consistency.docker_client import DockerClient
from tests.consistency.nemesis import FAULTS, Fault, FaultKind
from tests.consistency.process_manager import API_SOCKET, MANAGERS, name_of, prepare_group

_SIGNALS = (FaultKind.KILL, FaultKind.CRASH, FaultKind.PAUSE)
_REPOSITORY = Path(__file__).parents[2]
_DEADLINE = 60.0


class ProcessTarget:
    """Implements `live_run.Target`. `close` it."""

    worker: str | None = None
    tells_state = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.managers: Sequence[str] = [name_of(number) for number in range(1, MANAGERS + 1)]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def faults(self) -> list[Fault]:
        """Those that signals can cause."""
        return [fault for fault in FAULTS if fault.kind in _SIGNALS]

    def socket(self, name: str) -> Path:
        """As `live_run.Target` says, like those below."""
        return self._directory / name / API_SOCKET

    def find_leader(self) -> str:
        return wait_until(self._leader, what="a leader", timeout=30.0)

    def leaderships(self, since: int) -> Iterator[tuple[str, int]]:
        for name in self.managers:
            for address, term in LEADERSHIP.findall(self._log(name).read_text()):
                yield address, int(term)

    def prepare(self) -> None:
        number = os.getpid()
        prepare_group(self._directory, f"127.{1 + number // 250 % 250}.{number % 250}")
        self.restart(self.managers)
        wait_until(self._is_whole, what="the managers to be three", timeout=_DEADLINE)

    def heal_all(self) -> None:
        wait_until(self._is_whole, what="the managers to agree again", timeout=_DEADLINE)

    def kill(self, names: Sequence[str]) -> None:
        for name in names:
            self._processes[name].kill()
        for name in names:
            self._processes[name].wait(_DEADLINE)

    def restart(self, names: Sequence[str]) -> None:
        for name in names:
            command = [sys.executable, "-m", "tests.consistency.process_manager", str(self._directory), name[1:]]
            with self._log(name).open("ab") as log:
                self._processes[name] = subprocess.Popen(command, cwd=_REPOSITORY, stderr=log)

    def crash(self, names: Sequence[str]) -> None:
        self.kill(names)

    def wait_restarted(self, names: Sequence[str]) -> None:
        self.restart(names)

    def pause(self, names: Sequence[str]) -> None:
        for name in names:
            self._processes[name].send_signal(signal.SIGSTOP)

    def resume(self, names: Sequence[str]) -> None:
        for name in names:
            self._processes[name].send_signal(signal.SIGCONT)

    def cut(self, pairs: Sequence[tuple[str, str]]) -> None:
        raise NotImplementedError

    def heal(self) -> None:
        raise NotImplementedError

    def skew(self, name: str, seconds: float) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """End the processes."""
        self.kill([name for name in self.managers if name in self._processes])

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _leader(self) -> Done[str] | NotYet:
        for name in self.managers:
            with contextlib.closing(DockerClient(self.socket(name))) as client:
                try:
                    nodes = client.list("/nodes")
                except OSError as error:
                    return NotYet(f"{name}: {error}")
            for node in nodes:
                if (node.get("ManagerStatus") or {}).get("Leader"):
                    return Done(str(node["ID"]))
        return NotYet("no manager names a leader")

    def _is_whole(self) -> Done[None] | NotYet:
        """Whether every manager answers, by the same leader."""
        leader = self._leader()
        if isinstance(leader, NotYet):
            return leader
        return Done(None)
