"""A new user's project, written from the README alone, on the built wheel in an environment of its own.

Its image comes from all three places: an archive, a Dockerfile and the local engine. Its own Locust file is the load.
Green with a service that loses nothing, red with one that does, and the report says what was lost.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_swarm.ownership import LABEL, Owner
from workloads.packing import PACKED, pack

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.cluster

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("pytest_swarm", "orchestrator", "workloads")
SOURCES = Path(__file__).with_name("fresh_project")
LOCAL_IMAGE = "fresh-project-shop:bad"
INSTALL_SECONDS = 300.0
RUN_SECONDS = 180.0


@dataclasses.dataclass(frozen=True)
class Project:
    """A folder with tests, and the Python that has the wheel."""

    directory: Path
    python: Path

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.python), "-m", "pytest", "--swarm-nodes=2", "--swarm-report-dir=report", *arguments]
        # As a user's shell is: without the settings of the session around it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SWARM_", "PYTEST_"))}
        return subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )

    def runs(self) -> list[dict[str, Any]]:
        """What the report says of each load."""
        summary = json.loads((self.directory / "report" / "summary.json").read_text())
        runs: list[dict[str, Any]] = summary["runs"]
        return runs


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, swarm_host: docker.DockerClient, swarm_node_image: str
) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("fresh")
    directory = root / "shop"
    with ThreadPoolExecutor(1) as pool:
        python = pool.submit(install_wheel, root)
        try:
            make_images(swarm_host, swarm_node_image, directory)
            yield Project(directory, python.result())
        finally:
            remove_image(swarm_host)


def install_wheel(root: Path) -> Path:
    """Build the wheel from a copy, since setuptools leaves a folder behind, and install it into a new environment."""
    source, wheels, environment = root / "source", root / "wheels", root / "environment"
    source.mkdir()
    for name in PACKAGES:
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, source)
    pip = ["-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    call([sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(source)])
    call([sys.executable, "-m", "venv", str(environment)])
    python = environment / "bin" / "python"
    (wheel,) = wheels.glob("*.whl")
    call([str(python), *pip, "install", str(wheel)])
    return python


def make_images(host: docker.DockerClient, debian: str, directory: Path) -> None:
    """Version 1 as an archive, version 2 as a folder with a Dockerfile, the bad one in the local engine."""
    shutil.copytree(SOURCES, directory)
    command = ["sh", "/tmp/pack_python.sh", PACKED]
    files = {"pack_python.sh": (SOURCES / "pack_python.sh").read_bytes()}
    python = pack(host, debian, command, files, Owner.current().labels)
    (directory / "second" / "python.tar.gz").write_bytes(python)
    (directory / "second" / "shop").write_bytes((SOURCES / "shop.py").read_bytes())
    (directory / "second" / "shop").chmod(0o755)
    shutil.copytree(directory / "second", directory / "bad")
    for folder, version in (("second", "2"), ("bad", "bad")):
        (directory / folder / "version").write_text(version)

    root = directory.with_name("first")  # beside the project, or its pytest would find the tests of Python itself
    with tarfile.open(fileobj=io.BytesIO(python)) as archive:
        archive.extractall(root, filter="tar")
    shutil.copy(directory / "second" / "shop", root)
    (root / "version").write_text("1")
    with tarfile.open(directory / "shop-1.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(root, "/")
    host.images.build(path=str(directory / "bad"), tag=LOCAL_IMAGE, labels={LABEL: "service-image"}, rm=True)


def remove_image(host: docker.DockerClient) -> None:
    from docker.errors import ImageNotFound

    try:
        host.images.remove(LOCAL_IMAGE, force=True)
    except ImageNotFound:  # its build failed, and that is what the test tells
        return


def call(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_good_update_is_green(project: Project) -> None:
    result = project.pytest("-k", "test_update_loses_nothing[2]")

    assert result.returncode == pytest.ExitCode.OK, result.stdout + result.stderr
    (run,) = project.runs()
    assert (run["lost"], run["valid"]) == (0, True)
    assert run["sent"] > 100


def test_a_bad_update_is_red_and_the_report_names_the_loss(project: Project) -> None:
    result = project.pytest("-k", "test_update_loses_nothing[bad]")

    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout + result.stderr
    assert "the loss budget is broken: lost: allowed 0, seen" in result.stdout
    (run,) = project.runs()
    classes = run["classes"]
    assert classes["http-error"] > 0
    assert classes["closed-early"] > 0
    assert run["lost"] == classes["http-error"] + classes["closed-early"]
    page = (project.directory / "report" / "report.html").read_text()
    assert "over budget: lost: allowed 0, seen" in page
    assert "http-error-500" in page
