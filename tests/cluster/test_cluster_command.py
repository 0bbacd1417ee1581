"""`python -m pytest_swarm cluster`, as a newcomer types it: a process of its own for each command."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.remains import folders, labelled, runs_of

if TYPE_CHECKING:
    import docker

pytestmark = [pytest.mark.cluster, pytest.mark.gate]

COMMAND_SECONDS = 120.0
# A shell starts its background jobs with SIGINT ignored, and whoever they start inherits that.
INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from pytest_swarm.command_line import main; sys.exit(main())"
)


def run(*words: str, status: int = 0, **environment: str) -> str:
    """What a command wrote to standard output; to standard error when it had to fail."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest_swarm", "cluster", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def environment_of(name: str, node: str) -> dict[str, str]:
    """The variables that `cluster env` sets."""
    words = shlex.split(run("env", name, node), comments=True)
    return dict(word.split("=", 1) for word in words if word != "export")


@pytest.fixture
def name(swarm_node_image: str) -> Iterator[str]:
    """A name for a cluster, which is gone after the test."""
    name = f"play-{secrets.token_hex(4)}"
    yield name
    if name in run("ls"):
        run("rm", name)


def test_a_cluster_stays_until_it_is_removed(swarm_host: docker.DockerClient, name: str) -> None:
    import docker

    told = run("create", "--name", name, "--nodes", "2", "--managers", "1")

    assert told.startswith(f"cluster {name}: 2 nodes, 1 of them managers, with docker-swarm-test:1 and docker-swarm-")
    (row,) = [line.split() for line in run("ls").splitlines() if line.startswith(f"{name} ")]
    assert row[1:4] == ["orchestrator", "2/2", "1"]
    first, second = environment_of(name, "n1"), environment_of(name, "n2")
    assert first["SWARM_NODE_ADDR"] != second["SWARM_NODE_ADDR"]
    node = docker.DockerClient(first["DOCKER_HOST"])
    assert {each.attrs["Status"]["Addr"] for each in node.nodes.list()} == {
        first["SWARM_NODE_ADDR"],
        second["SWARM_NODE_ADDR"],
    }
    node.close()
    # A shell that drives a node still finds the clusters, and nothing but `rm` takes this one.
    assert "nothing to clean up" in run("prune", row[4], DOCKER_HOST=second["DOCKER_HOST"])
    assert "there is a cluster" in run("create", "--name", name, status=1)

    assert run("rm", name) == f"{name}\n"

    assert folders(row[4]) == set()
    assert labelled(swarm_host, row[4]) == {}
    assert f"there is no cluster '{name}'" in run("env", name, status=1)


def test_a_bare_cluster_is_in_no_swarm_and_takes_images(
    swarm_host: docker.DockerClient, name: str, tmp_path: Path
) -> None:
    import docker

    run("create", "--name", name, "--nodes", "1", "--bare")
    archive = tmp_path / "shop.tar"
    node = docker.DockerClient(environment_of(name, "n1")["DOCKER_HOST"])
    archive.write_bytes(b"".join(node.api.get_image("docker-swarm-test:1")))

    assert node.info()["Swarm"]["LocalNodeState"] == "inactive"
    assert run("load", name, str(archive), "--tag", "shop:7") == "shop:7 is in n1\n"
    assert run("load", name, str(archive)) == "docker-swarm-test:1 is in n1\n"
    assert "shop:7" in {tag for image in node.images.list() for tag in image.tags}
    node.close()
    assert "has no node 'n2': it has n1" in run("env", name, "n2", status=1)
    assert "the local engine has no image 'nosuch'" in run("load", name, "nosuch", status=1)


def test_an_interrupted_creation_leaves_nothing(swarm_host: docker.DockerClient, name: str) -> None:
    command = [sys.executable, "-c", INTERRUPTIBLE, "cluster", "create", "--name", name, "--nodes", "2"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def has_containers() -> Done[str] | NotYet:
        runs = runs_of(swarm_host, process.pid)
        return Done(runs.pop()) if runs else NotYet("none yet")

    made = wait_until(has_containers, what="the first container", timeout=30.0)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=COMMAND_SECONDS)

    assert process.returncode == 130, output
    assert output.decode().endswith("interrupted\n")
    assert labelled(swarm_host, made) == {}
    assert folders(made) == set()
