"""The image every node of a cluster runs: Debian with an engine, and `swarmd` on top.

Three layers, each cached under a hash of what goes into it: the Debian packages (half a minute), the Python
dependencies, the orchestrator's own source. So a change of the source costs a second or two, and no change
costs the hashing alone. Nothing but the engine's API is used: the machine needs no `docker` command.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from docker.types import Mount
from packaging.requirements import Requirement

from pytest_swarm.debian_base import EXCLUDED_PATHS, BootstrapError, stream_root_file_system
from pytest_swarm.owned_folders import cache_directory, draft_folder
from pytest_swarm.ownership import LABEL, Owner
from workloads.blocking.image import build_archives
from workloads.edge.image import TAG as EDGE
from workloads.edge.image import build_archive
from workloads.packing import ServiceImageError

DISTRIBUTION = "pytest-swarm-rollout"

BASE_REPOSITORY = "swarm-rollout-base"
DEPENDENCIES_REPOSITORY = "swarm-rollout-dependencies"
NODE_REPOSITORY = "swarm-rollout-node"
REGISTRY_BASE = "debian:trixie-slim"

# Debian trixie's Python, which is not the one that runs pytest.
NODE_PYTHON = "3.13"
SITE_PACKAGES = f"usr/local/lib/python{NODE_PYTHON}/dist-packages"
ENTRYPOINT = "usr/local/bin/node-entrypoint"

# Published as source only. It is pure Python, so a wheel built by any Python serves the node's.
SOURCE_ONLY = frozenset({"pysyncobj"})
WHEEL_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}

# Several checkouts may share an engine: the images of their latest sources stay.
IMAGES_KEPT = 8

BUILD_SECONDS = 900
DOWNLOAD_SECONDS = 600.0
LOCK_SECONDS = 1200.0

DATA = Path(__file__).parent / "node_image"

Progress = Callable[[str], None]


class ImageError(Exception):
    """An image could not be made; the message is one line."""


class _Tags(NamedTuple):
    """The three layers as they must be for the present source."""

    base: str
    dependencies: str
    node: str


def ensure_node_image(client: docker.DockerClient, *, progress: Progress) -> str:
    """Return the tag of the node image for the present source, building only what has changed."""
    with _build_lock(progress), _as_image_error("cannot build the node image"):
        tags = _tags(client)
        if not _exists(client, tags.node):
            _ensure_dependencies(client, tags, progress)
            progress("adding the orchestrator to the node image")
            _add_layer(client, tags.node, tags.dependencies, _source_files(), f"{SITE_PACKAGES}/orchestrator")
            _remove_old_images(client)
        return tags.node


def ensure_service_images(client: docker.DockerClient, *, progress: Progress) -> dict[str, Path]:
    """Return the archive of each version of the sample service, by the name it is imported under."""
    with _build_lock(progress), _as_image_error("cannot build the sample service's image"):
        tags = _tags(client)
        _ensure_base(client, tags, progress)
        return build_archives(client, tags.base, cache_directory(), Owner.current().labels, progress)


def ensure_edge_image(client: docker.DockerClient, *, progress: Progress) -> dict[str, Path]:
    """Return the archive of the nginx that finds tasks by name, by the name it is imported under."""
    with _build_lock(progress), _as_image_error("cannot build the edge's image"):
        tags = _tags(client)
        _ensure_base(client, tags, progress)
        return {EDGE: build_archive(client, tags.base, cache_directory(), Owner.current().labels, progress)}


def node_run_options() -> dict[str, object]:
    """What `containers.run` needs for an engine inside a container, asking for less than --privileged does.

    The `systempaths=unconfined` of the docker command is its own invention and not in the API; the entrypoint
    uncovers those paths instead. Remove the container with `v=True`: its volumes have no name and go with it.
    """
    return {
        "detach": True,
        "cap_add": ["ALL"],
        # Some hosts lack this one themselves and so refuse --privileged; the engine does without it.
        "cap_drop": ["SYS_RESOURCE"],
        "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
        "device_cgroup_rules": ["a *:* rwm"],
        "cgroupns": "private",
        "tmpfs": {"/run": ""},
        # The cluster's network leads nowhere, so a look-up of an outside name gets no answer: give up early.
        "dns_opt": ["timeout:1", "attempts:1"],
        # An overlay file system cannot lie on another one, so the engine's storage needs real volumes.
        "mounts": [
            Mount(target=target, source=None, type="volume", labels={LABEL: "node-storage"})
            for target in ("/var/lib/docker", "/var/lib/containerd")
        ],
        "labels": {LABEL: "node"},
    }


def _tags(client: docker.DockerClient) -> _Tags:
    architecture = client.version()["Arch"]
    source = sorted(_source_files().items())
    base = _digest(architecture, _packages(), (DATA / "Dockerfile").read_bytes(), EXCLUDED_PATHS)
    dependencies = _digest(base, _node_requirements())
    node = _digest(dependencies, *((name, path.read_bytes()) for name, path in source))
    return _Tags(
        base=f"{BASE_REPOSITORY}:{base}",
        dependencies=f"{DEPENDENCIES_REPOSITORY}:{dependencies}",
        node=f"{NODE_REPOSITORY}:{node}",
    )


def _ensure_base(client: docker.DockerClient, tags: _Tags, progress: Progress) -> None:
    if _exists(client, tags.base):
        return
    if _registry_answers(client):
        progress(f"building the node's base from {REGISTRY_BASE}")
        _build_from_registry(client, tags.base)
        return
    progress("no registry answers: bootstrapping the node's base from Debian packages, about half a minute")
    repository, _, version = tags.base.partition(":")
    client.api.import_image_from_data(
        stream_root_file_system(_packages(), progress),
        repository=repository,
        tag=version,
        changes=[f"LABEL {LABEL}=node-image"],
    )
    # The engine reports a failed import inside an answer of status 200.
    if not _exists(client, tags.base):
        raise ImageError(f"the engine did not import {tags.base}")


def _ensure_dependencies(client: docker.DockerClient, tags: _Tags, progress: Progress) -> None:
    if _exists(client, tags.dependencies):
        return
    _ensure_base(client, tags, progress)
    architecture = client.version()["Arch"]
    with draft_folder(Owner.current()) as draft:
        packages, wheels = draft / "packages", draft / "wheels"
        progress("downloading the node's Python dependencies")
        _download_dependencies(_node_requirements(), WHEEL_MACHINES.get(architecture, architecture), packages, wheels)
        progress("adding them to the node image")
        paths = (path for path in packages.rglob("*") if path.is_file())
        files = {f"{SITE_PACKAGES}/{path.relative_to(packages)}": path for path in paths}
        _add_layer(client, tags.dependencies, tags.base, files, SITE_PACKAGES)


def _registry_answers(client: docker.DockerClient) -> bool:
    """Ask the engine, since it is the one that would pull; the client's own timeout bounds the wait."""
    try:
        client.api.inspect_distribution(REGISTRY_BASE)
    except (DockerException, OSError):
        return False
    return True


def _build_from_registry(client: docker.DockerClient, tag: str) -> None:
    try:
        client.images.build(
            path=str(DATA),
            tag=tag,
            buildargs={"BASE": REGISTRY_BASE},
            labels={LABEL: "node-image"},
            rm=True,
            forcerm=True,
            timeout=BUILD_SECONDS,
        )
    except BuildError as error:
        output = [line["stream"].strip() for line in error.build_log if line.get("stream", "").strip()]
        raise ImageError(f"building {tag} failed: {_one_line(error)} (after: {' '.join(output[-1:])})") from error


def _add_layer(client: docker.DockerClient, tag: str, base: str, files: dict[str, Path], compiled_path: str) -> None:
    """Copy files onto an image and compile those below a path.

    A container that is committed, not a Dockerfile: some storage drivers need seconds for each step of a build,
    and this takes one step. Compiled here once, the source need not be compiled by every node at every boot.
    """
    compile_command = ["python3", "-m", "compileall", "-q", "-j0", "--invalidation-mode=unchecked-hash"]
    container = client.containers.create(
        base,
        entrypoint=[*compile_command, f"/{compiled_path}"],
        network_mode="none",
        labels=Owner.current().labels,
    )
    try:
        with tempfile.TemporaryFile() as archive:
            _write_archive(archive, files)
            archive.seek(0)
            container.put_archive("/", archive)
        container.start()
        if container.wait(timeout=BUILD_SECONDS)["StatusCode"] != 0:
            raise ImageError(f"compiling for {tag} failed: {_one_line(container.logs().decode())}")
        repository, _, version = tag.partition(":")
        container.commit(
            repository,
            version,
            changes=[f'ENTRYPOINT ["/{ENTRYPOINT}"]', f"LABEL {LABEL}=node-image"],
        )
    finally:
        container.remove(force=True)


def _write_archive(target: IO[bytes], files: dict[str, Path]) -> None:
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as content:
                archive.addfile(member, content)


def _download_dependencies(requirements: list[str], machine: str, target: Path, wheels: Path) -> None:
    source_only = [line for line in requirements if Requirement(line).name.lower() in SOURCE_ONLY]
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    if source_only:
        _run([*pip, "wheel", "--no-deps", f"--wheel-dir={wheels}", *source_only])
    install = [*pip, "install", f"--target={target}", f"--find-links={wheels}", f"--python-version={NODE_PYTHON}"]
    install += ["--implementation=cp", "--only-binary=:all:", "--no-compile"]
    # `manylinux_2_N` wheels are only found when each N is named; these are what the listed packages publish.
    install += [f"--platform=manylinux{version}_{machine}" for version in ("_2_28", "_2_17", "2014")]
    _run([*install, *requirements])


def _run(command: list[str]) -> None:
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DOWNLOAD_SECONDS, check=False
    )
    if result.returncode != 0:
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        raise ImageError(f"pip failed: {lines[-1] if lines else 'no message'}")


def _packages() -> list[str]:
    lines = (DATA / "packages.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _node_requirements() -> list[str]:
    """The extra `node` of this distribution, written alike wherever it was read."""
    checkout = Path(__file__).parent.parent / "pyproject.toml"
    if checkout.exists():  # then it is newer than what was recorded at the installation
        project = tomllib.loads(checkout.read_text())["project"]
        declared = [Requirement(line) for line in project["optional-dependencies"]["node"]]
    else:
        recorded = map(Requirement, importlib.metadata.requires(DISTRIBUTION) or [])
        declared = [each for each in recorded if str(each.marker) == 'extra == "node"']
    return sorted(f"{requirement.name}{requirement.specifier}" for requirement in declared)


def _source_files() -> dict[str, Path]:
    """Path in the node -> file here, of all that `swarmd` consists of."""
    specification = importlib.util.find_spec("orchestrator")
    if specification is None or not specification.submodule_search_locations:
        raise ImageError("the package orchestrator is not installed beside pytest_swarm")
    root = Path(next(iter(specification.submodule_search_locations)))
    source = {f"{SITE_PACKAGES}/orchestrator/{path.relative_to(root)}": path for path in sorted(root.rglob("*.py"))}
    return source | {ENTRYPOINT: DATA / "entrypoint.sh"}


def _remove_old_images(client: docker.DockerClient) -> None:
    for repository in (NODE_REPOSITORY, DEPENDENCIES_REPOSITORY, BASE_REPOSITORY):
        images = client.images.list(repository, filters={"label": LABEL})
        images.sort(key=lambda image: str(image.attrs["Created"]), reverse=True)
        for image in images[IMAGES_KEPT:]:
            for tag in image.tags:
                try:
                    client.images.remove(tag)
                except APIError:  # in use by a running cluster: its turn comes later
                    continue


def _exists(client: docker.DockerClient, tag: str) -> bool:
    try:
        client.images.get(tag)
    except ImageNotFound:
        return False
    return True


def _digest(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:16]


@contextmanager
def _build_lock(progress: Progress) -> Iterator[None]:
    """One build at a time on this machine: the second process then finds what the first one made."""
    with (cache_directory() / "build.lock").open("w") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    progress("waiting for another process that builds the images")
                waiting = True
                if time.monotonic() > deadline:
                    raise ImageError(f"another process has been building for {LOCK_SECONDS:.0f} s") from None
                time.sleep(0.1)
        yield


@contextmanager
def _as_image_error(what: str) -> Iterator[None]:
    try:
        yield
    except (BootstrapError, ServiceImageError, DockerException, subprocess.TimeoutExpired, OSError) as error:
        raise ImageError(f"{what}: {_one_line(error)}") from error


def _one_line(error: object) -> str:
    explanation = getattr(error, "explanation", None) or error
    return " ".join(str(explanation).split())
