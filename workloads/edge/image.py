"""The edge's image, `edge:1`: a small archive that is brought in with `docker import`.

No registry is needed: nginx comes out of its Debian package, its libraries from a Debian that is there already. Kept
under a hash of what it is made from, so it is built once.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import docker

from workloads.packing import PACKED, pack, remove_old_builds

NAME = "edge"
TAG = "edge:1"
COMMAND = "/edge"

ROOT = Path(__file__).parent.parent
MODULE = "workloads.edge.root_file_system"
# Imported as what they are here, so no __init__.py of ours may come along and ask for more.
SOURCES = (
    "blocking/root_file_system.py",
    "edge/nginx.conf",
    "edge/root_file_system.py",
    "edge/start",
)


def build_archive(
    client: docker.DockerClient, debian_image: str, cache: Path, labels: dict[str, str], progress: Callable[[str], None]
) -> Path:
    """The archive of the edge's image in the cache, made with the Debian of `debian_image` when it is missing.

    Packing needs that Debian's mirror. Raises ServiceImageError when it cannot be reached.
    """
    files = {f"workloads/{name}": (ROOT / name).read_bytes() for name in SOURCES}
    digest = hashlib.sha256(debian_image.encode())
    for content in (*files.values(), Path(__file__).read_bytes()):
        digest.update(content)
    archive = cache / f"{NAME}-{digest.hexdigest()[:16]}" / f"{NAME}.tar.gz"
    if archive.exists():
        return archive
    progress("packing the edge's image")
    # The host's network, because a bridge may lead nowhere on a machine that builds; nothing listens in there.
    packed = pack(client, debian_image, ["python3", "-m", MODULE, PACKED], files, labels, network_mode="host")
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    partial.write_bytes(gzip.compress(packed, mtime=0))
    partial.rename(archive)
    remove_old_builds(cache, NAME)
    return archive
