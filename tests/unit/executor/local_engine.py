"""The engine of this machine as a test bed: an image made on the spot, containers by label, all removed afterwards."""

import contextlib
import io
import os
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from orchestrator.executor.docker_engine import DockerEngine
from orchestrator.executor.engine_client import EngineClient, EngineError
from orchestrator.identity import new_id
from orchestrator.model.container import ContainerSpec, HealthConfig
from orchestrator.model.service import TaskSpec
from orchestrator.model.task import Task
from orchestrator.testing.conformance_engine import EXIT_CODE, LOG, Behaviour

SOCKET = Path("/var/run/docker.sock")
IMAGE = f"swarm-unit-test:{os.getpid()}"
"""Of this process alone: another run on the machine must not lose its image to this one's end."""
LABEL = "swarm-unit-test"
_PROGRAMS = ("/bin/sh", "/bin/cat", "/bin/sleep")

_TALK = "; ".join(f"echo '{text.strip()}' >&{stream}" for stream, text in LOG)
_RUN = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
_SCRIPTS = {
    Behaviour.ENDS_WELL: "exit 0",
    Behaviour.ENDS_BADLY: f"exit {EXIT_CODE}",
    Behaviour.TALKS: _TALK,
}
_HEALTH = {
    Behaviour.BECOMES_HEALTHY: HealthConfig(("CMD-SHELL", "exit 0"), interval=0.1, retries=1),
    Behaviour.BECOMES_UNHEALTHY: HealthConfig(("CMD-SHELL", "exit 1"), interval=0.1, retries=1),
}


def image_tar(programs: tuple[str, ...] = _PROGRAMS) -> bytes:
    """A root file system of a shell and a few programs, with the libraries they need."""
    files = dict.fromkeys(programs)
    for program in programs:
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, timeout=10).stdout
        files |= dict.fromkeys(word for word in listed.split() if word.startswith("/"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in files:
            archive.add(Path(name).resolve(), arcname=name)
    return buffer.getvalue()


def is_engine_reachable() -> bool:
    """Whether tests against the real engine can run here."""
    if not SOCKET.is_socket():
        return False
    return subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=20).returncode == 0


@contextlib.contextmanager
def imported_image(name: str = IMAGE) -> Iterator[str]:
    """The test image, imported and in the end removed."""
    subprocess.run(
        ["docker", "import", "-c", 'CMD ["sh"]', "-c", 'ENV PATH="/bin"', "-c", f"LABEL {LABEL}=", "-", name],
        input=image_tar(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    try:
        yield name
    finally:
        subprocess.run(["docker", "rmi", "-f", name], capture_output=True, check=False, timeout=60)


class LocalBed:
    """`EngineBed` over the engine of this machine."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self.engine = DockerEngine(client)
        self._tasks: list[Task] = []

    def restarted(self) -> DockerEngine:
        """An engine object without memory."""
        return DockerEngine(self.client)

    def task(self, behaviour: Behaviour = Behaviour.RUNS, **spec: object) -> Task:
        """A task; further keywords go to its `ContainerSpec`."""
        container = {
            "image": "swarm-unit-test-nowhere:1" if behaviour is Behaviour.HAS_NO_IMAGE else IMAGE,
            "labels": ((LABEL, ""),),
            "command": ("/nowhere",) if behaviour is Behaviour.HAS_NO_COMMAND else ("sh", "-c"),
            "args": (_SCRIPTS.get(behaviour, _RUN),),
            "healthcheck": _HEALTH.get(behaviour),
            "stop_grace_period": 1.0,
        } | spec
        return self.made(TaskSpec(ContainerSpec(**container)))  # type: ignore[arg-type]

    def made(self, spec: TaskSpec, **fields: object) -> Task:
        """A task of the spec; it is removed with the bed."""
        task = Task(new_id(), "service-id", "unit", 1, spec, 1, node_id="node-id", **fields)  # type: ignore[arg-type]
        self._tasks.append(task)
        return task

    async def close(self) -> None:
        """Remove every container the bed's tasks may have left."""
        for task in self._tasks:
            with contextlib.suppress(EngineError):
                await self.restarted().remove(task)


@contextlib.asynccontextmanager
async def local_bed() -> AsyncIterator[LocalBed]:
    """A bed that cleans up after itself."""
    client = EngineClient(str(SOCKET))
    bed = LocalBed(client)
    try:
        yield bed
    finally:
        await bed.close()
        await client.close()
