"""A pytest stopped in the middle of a load leaves nothing behind; a killed one, nothing after the clean-up.

Each stop happens in a pytest of its own with a small cluster. Beside it something of another live run lies around,
which no clean-up may touch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_swarm.cleanup import find_dead_owners, remove_owned
from pytest_swarm.cleanup import main as clean_up
from pytest_swarm.ownership import Owner
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.remains import folders, labelled, runs_of

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.cluster

SCENARIO = Path(__file__).with_name("interrupted_load.py")
# A shell starts its background jobs with SIGINT ignored, and whoever they start inherits that.
PYTEST = "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(pytest.main())"
UNDER_LOAD_SECONDS = 60.0
STOP_SECONDS = 30.0


@pytest.fixture
def neighbour(swarm_host: docker.DockerClient) -> Iterator[Callable[[], bool]]:
    """A volume and a network of a run that is alive, this one; tells whether both are still there."""
    owner = Owner.current()
    volume = swarm_host.volumes.create(owner.name, labels=owner.labels)
    network = swarm_host.networks.create(owner.name, labels=owner.labels, internal=True)
    try:
        yield lambda: set(labelled(swarm_host, owner.run)) == {"networks", "volumes"}
    finally:
        network.remove()
        volume.remove()


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, marks=pytest.mark.gate), signal.SIGTERM],
    ids=lambda number: number.name,
)
def test_a_stopped_pytest_leaves_nothing(
    swarm_host: docker.DockerClient,
    swarm_node_image: str,
    neighbour: Callable[[], bool],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    with pytest_under_load(swarm_host, tmp_path) as process:
        (run,) = runs_of(swarm_host, process.pid)
        assert {"containers", "networks", "volumes"} == set(labelled(swarm_host, run))
        process.send_signal(number)
        assert process.wait(STOP_SECONDS) == pytest.ExitCode.INTERRUPTED, (tmp_path / "pytest.log").read_text()

    assert labelled(swarm_host, run) == {}
    assert folders(run) == set()
    assert neighbour()


@pytest.mark.gate
def test_a_killed_pytest_leaves_nothing_after_the_clean_up(
    swarm_host: docker.DockerClient,
    swarm_node_image: str,
    neighbour: Callable[[], bool],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest_under_load(swarm_host, tmp_path) as process:
        (run,) = runs_of(swarm_host, process.pid)
        assert clean_up([run]) == 0
        assert capsys.readouterr().out == "nothing to clean up\n", "a live run must not be touched"
        process.kill()
        process.wait(STOP_SECONDS)
    assert set(labelled(swarm_host, run)) == {"containers", "networks", "volumes"}

    assert clean_up([run]) == 0

    assert f"run {run} of process {process.pid}, which is gone" in capsys.readouterr().out
    assert labelled(swarm_host, run) == {}
    assert folders(run) == set()
    assert neighbour()


@contextmanager
def pytest_under_load(host: docker.DockerClient, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a pytest on the scenario and wait until its load runs; after a failure, remove what it had made."""
    under_load, log = directory / "under-load", directory / "pytest.log"
    command = [sys.executable, "-c", PYTEST, "--swarm-nodes=2", "--swarm-managers=1", "-p", "no:cacheprovider"]
    environment = {**os.environ, "UNDER_LOAD": str(under_load), "SWARM_KEEP": "never", "SWARM_REPEAT": "1"}

    def loaded() -> Done[None] | NotYet:
        if under_load.exists():
            return Done(None)
        assert process.poll() is None, log.read_text()
        return NotYet(log.read_text()[-500:])

    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(SCENARIO)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
    try:
        wait_until(loaded, what="the load of the other pytest", timeout=UNDER_LOAD_SECONDS)
        yield process
    except BaseException:
        process.kill()
        process.wait(STOP_SECONDS)
        for owner in find_dead_owners(host):
            if owner.process_id == process.pid:
                remove_owned(host, owner)
        raise
