"""The sample service's image: one small archive for each version, brought in with `docker import`.

No registry is needed: the Python inside is taken from an image that is there already. Kept under a hash of its
content, so it is built once. Both versions hold the same service and differ in the file /version alone.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import docker

from workloads.packing import PACKED, add_file, pack, remove_old_builds

NAME = "docker-swarm-test"
VERSIONS = ("1", "2")
COMMAND = "/docker-swarm-test"
# `docker import` keeps files only; this makes the image run without naming the command.
IMPORT_CHANGES = (f'CMD ["{COMMAND}"]',)

SOURCES = (Path(__file__).with_name("server.py"), Path(__file__).with_name("root_file_system.py"))


def build_archives(
    client: docker.DockerClient, python_image: str, cache: Path, labels: dict[str, str], progress: Callable[[str], None]
) -> dict[str, Path]:
    """Image name -> its archive in the cache, made with the Python of `python_image` where missing."""
    digest = hashlib.sha256(python_image.encode())
    for source in (*SOURCES, Path(__file__)):
        digest.update(source.read_bytes())
    directory = cache / f"{NAME}-{digest.hexdigest()[:16]}"
    archives = {f"{NAME}:{version}": directory / f"{NAME}-{version}.tar.gz" for version in VERSIONS}
    if all(archive.exists() for archive in archives.values()):
        return archives
    progress("packing the sample service's image")
    command = ["python3", "-I", "/tmp/root_file_system.py", "/tmp/server.py", PACKED]
    files = {source.name: source.read_bytes() for source in SOURCES}
    root_file_system = pack(client, python_image, command, files, labels)
    directory.mkdir(parents=True, exist_ok=True)
    for version, archive in zip(VERSIONS, archives.values(), strict=True):
        partial = archive.with_suffix(".partial")
        partial.write_bytes(gzip.compress(_with_version(root_file_system, version), mtime=0))
        partial.rename(archive)
    remove_old_builds(cache, NAME)
    return archives


def import_archive(client: docker.DockerClient, name: str, archive: Path) -> None:
    """Bring one version into an engine, ready to run."""
    repository, _, version = name.partition(":")
    client.api.import_image(str(archive), repository=repository, tag=version, changes=list(IMPORT_CHANGES))


def _with_version(root_file_system: bytes, version: str) -> bytes:
    archive = io.BytesIO(root_file_system)
    with tarfile.open(fileobj=archive, mode="a") as target:
        add_file(target, "version", f"{version}\n".encode())
    return archive.getvalue()
