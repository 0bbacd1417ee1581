"""The stock docker CLI through the front, against the engine of this machine."""

import asyncio
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.api.engine_proxy import EngineProxy
from tests.unit.executor.local_engine import LABEL, SOCKET, image_tar, imported_image, is_engine_reachable

IMAGE = f"swarm-unit-test-cli:{os.getpid()}"
DEADLINE_S = 60.0

Docker = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Socket of a front that leaves everything to this machine's engine."""
    if not is_engine_reachable():
        pytest.skip("no Docker Engine answers on /var/run/docker.sock")
    directory = tmp_path_factory.mktemp("front")
    loop = asyncio.new_event_loop()
    proxy = EngineProxy(lambda method, path: False, str(directory / "own"), str(SOCKET))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(proxy.listen_unix(str(directory / "api")), loop).result(DEADLINE_S)
        yield directory / "api"
    finally:
        asyncio.run_coroutine_threadsafe(proxy.close(), loop).result(DEADLINE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE_S)
        loop.close()


@pytest.fixture(scope="module")
def docker(front: Path) -> Iterator[Docker]:
    """Runs the CLI on the front's socket; everything labelled is removed at the end."""
    environment = os.environ | {"DOCKER_HOST": f"unix://{front}", "DOCKER_BUILDKIT": "0"}

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["docker", *arguments], input=stdin, capture_output=True, check=False, timeout=DEADLINE_S, env=environment
        )

    with imported_image(IMAGE):
        yield run
        left = run("ps", "-aq", "--filter", f"ancestor={IMAGE}").stdout.decode().split()
        if left:
            run("rm", "-f", *left)


@pytest.fixture(scope="module")
def container(docker: Docker) -> str:
    """A container that runs on."""
    script = "echo started; while :; do sleep 0.1; done"
    made = docker("run", "-d", "--network=none", f"--label={LABEL}=", IMAGE, "sh", "-c", script)
    assert made.returncode == 0, made.stderr
    return made.stdout.decode().strip()


def test_run_passes_stdin_stdout_and_the_exit_code(docker: Docker) -> None:
    done = docker("run", "--rm", "-i", "--network=none", IMAGE, "sh", "-c", "cat; exit 7", stdin=b"through")
    assert (done.returncode, done.stdout) == (7, b"through")


def test_exec_with_stdin_of_some_size(docker: Docker, container: str) -> None:
    data = os.urandom(1 << 20)
    done = docker("exec", "-i", container, "cat", stdin=data)
    assert (done.returncode, done.stdout) == (0, data)


def test_a_refused_exec_says_why(docker: Docker) -> None:
    done = docker("exec", "swarm-unit-test-nowhere", "true")
    assert b"No such container" in done.stderr


def test_logs_are_followed_to_the_end_and_attach_sees_it(docker: Docker) -> None:
    made = docker(
        "run", "-d", "--network=none", f"--label={LABEL}=", IMAGE, "sh", "-c", "echo one; sleep 0.5; echo two"
    )
    name = made.stdout.decode().strip()
    attached = docker("attach", "--no-stdin", name)
    assert attached.stdout.endswith(b"two\n")
    assert docker("logs", "-f", name).stdout == b"one\ntwo\n"


def test_cp_both_ways(docker: Docker, container: str, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(1 << 20))
    assert docker("cp", str(there), f"{container}:/copied").returncode == 0
    assert docker("cp", f"{container}:/copied", str(back)).returncode == 0
    assert back.read_bytes() == there.read_bytes()


def test_import_save_and_load(docker: Docker, tmp_path: Path) -> None:
    name = f"{IMAGE}-imported"
    try:
        assert docker("import", "-", name, stdin=image_tar()).returncode == 0
        saved = docker("save", name).stdout
        archive = tmp_path / "saved.tar"
        archive.write_bytes(saved)
        with tarfile.open(archive) as members:
            assert "manifest.json" in members.getnames()
        assert b"Loaded image" in docker("load", stdin=saved).stdout
    finally:
        docker("rmi", "-f", name)


def test_classic_build(docker: Docker, tmp_path: Path) -> None:
    name = f"{IMAGE}-built"
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo built > /built\nCOPY big /big\n")
    (tmp_path / "big").write_bytes(os.urandom(4 << 20))
    try:
        built = docker("build", "-q", "--network=none", "-t", name, str(tmp_path))
        assert built.returncode == 0, built.stderr
        assert docker("run", "--rm", "--network=none", name, "cat", "/built").stdout == b"built\n"
    finally:
        docker("rmi", "-f", name)


def test_events_of_the_past_end_when_told(docker: Docker, container: str) -> None:
    events = docker("events", "--since=10m", "--until=0s", f"--filter=container={container}", "--filter=event=start")
    assert container.encode() in events.stdout
