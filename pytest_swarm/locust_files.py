"""Locust for the load container: fetched once for the node image's Python, and mounted read-only.

The container runs the node image, which is there anyway; Locust's version is the one installed beside pytest, so a
run reports the same whoever starts it. Locust itself is never imported here: it would patch the pytest process.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_swarm.owned_folders import cache_directory, draft_folder
from pytest_swarm.ownership import Owner

if TYPE_CHECKING:
    import docker

LOCUST_MOUNT = "/opt/locust"
_DOWNLOAD_SECONDS = 600.0


class LocustFilesError(Exception):
    """Locust could not be fetched; the message is one line."""


def ensure_locust(client: docker.DockerClient, image: str, owner: Owner, *, progress: Callable[[str], None]) -> Path:
    """Return the folder with Locust and all it needs, fetching it when its version has changed."""
    from pytest_swarm.image import NODE_PYTHON

    requirement = f"locust=={importlib.metadata.version('locust')}"
    key = hashlib.sha256(f"{requirement} {NODE_PYTHON} {platform.machine()}".encode()).hexdigest()[:16]
    target = cache_directory() / f"locust-{key}"
    if target.exists():
        return target
    progress(f"downloading {requirement} for the load container")
    # Filled under another name and renamed at the end: a half-filled folder is never taken for a good one.
    with draft_folder(owner, cache_directory()) as draft:
        fresh = draft / "packages"
        _download(requirement, NODE_PYTHON, fresh)
        progress("compiling it")
        _compile(client, image, owner, fresh)
        _publish(fresh, target)
    return target


def _download(requirement: str, python: str, target: Path) -> None:
    machine = platform.machine()
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "install"]
    command += [f"--target={target}", f"--python-version={python}", "--implementation=cp", "--only-binary=:all:"]
    # pip takes a platform literally, so each generation of wheels has to be named.
    command += [f"--platform=manylinux{version}_{machine}" for version in ("_2_28", "_2_17", "2014")]
    command += ["--no-compile", requirement]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DOWNLOAD_SECONDS, check=False
    )
    if result.returncode != 0:
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        raise LocustFilesError(f"pip could not fetch {requirement}: {lines[-1] if lines else 'no message'}")


def _compile(client: docker.DockerClient, image: str, owner: Owner, packages: Path) -> None:
    client.containers.run(
        image,
        entrypoint=["python3", "-m", "compileall", "-q", "-j0", LOCUST_MOUNT],
        volumes={str(packages): {"bind": LOCUST_MOUNT, "mode": "rw"}},
        network_mode="none",
        labels=owner.labels,
        remove=True,
    )


def _publish(fresh: Path, target: Path) -> None:
    try:
        fresh.rename(target)
    except OSError:
        # Another process was faster, and its folder is as good as ours.
        if not target.exists():
            shutil.rmtree(fresh, ignore_errors=True)
            raise
