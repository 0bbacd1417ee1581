"""What the images of the workloads have in common: packed inside a container, kept under a hash of their content."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import docker

BUILD_SECONDS = 240
BUILDS_KEPT = 4
PACKED = "/root/image.tar"


class ServiceImageError(Exception):
    """The archives could not be made; the message is one line."""


def pack(
    client: docker.DockerClient,
    image: str,
    command: Sequence[str],
    files: Mapping[str, bytes],
    labels: dict[str, str],
    *,
    network_mode: str = "none",
) -> bytes:
    """Run a command in a container with these files below /tmp; what it leaves at `PACKED`.

    Raises ServiceImageError when the command fails.
    """
    container = client.containers.create(
        image, entrypoint=list(command), network_mode=network_mode, working_dir="/tmp", labels=labels
    )
    try:
        container.put_archive("/tmp", archive_of(files))
        container.start()
        if container.wait(timeout=BUILD_SECONDS)["StatusCode"] != 0:
            lines = container.logs().decode(errors="replace").strip().splitlines()
            raise ServiceImageError(lines[-1] if lines else "packing failed without a message")
        chunks, _ = container.get_archive(PACKED)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as outer:
            packed = outer.extractfile(Path(PACKED).name)
            assert packed is not None
            return packed.read()
    finally:
        container.remove(force=True)


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """A tar archive of these files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as target:
        for name, content in files.items():
            add_file(target, name, content)
    return archive.getvalue()


def add_file(target: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without an owner or a time."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o644
    target.addfile(member, io.BytesIO(content))


def remove_old_builds(cache: Path, name: str) -> None:
    """Several checkouts may share a cache, so the latest few stay."""
    builds = sorted(cache.glob(f"{name}-*"), key=lambda directory: directory.stat().st_mtime)
    for directory in builds[:-BUILDS_KEPT]:
        shutil.rmtree(directory, ignore_errors=True)
