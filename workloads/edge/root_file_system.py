"""Packs the edge's whole image: nginx out of its Debian package, the libraries it needs, and its configuration.

Run with root's rights inside a Debian that can reach its mirror (`image.py` does so), never imported:

    python3 -m workloads.edge.root_file_system image.tar

The package is taken apart, not installed: its scripts would start a server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from workloads.blocking.root_file_system import shared_libraries, write_archive

PACKAGE = "nginx"
PROGRAM = "usr/sbin/nginx"
SHELL = Path("/bin/dash")
DOWNLOAD_SECONDS = 120

# nginx looks its user up by name.
USERS = "root:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n"
GROUPS = "root:x:0:\nwww-data:x:33:\n"
DIRECTORIES = {"tmp": 0o1777}


def unpacked(directory: Path) -> Path:
    """The folder that holds what the package would install."""
    _run(["apt-get", "--quiet", "update"])
    _run(["apt-get", "--quiet", "download", PACKAGE], directory)
    (package,) = directory.glob(f"{PACKAGE}_*.deb")
    _run(["dpkg-deb", "--extract", str(package), str(directory / "files")])
    return directory / "files"


def collect(files: Path, sources: Path) -> dict[str, tuple[bytes, int]]:
    """Path in the image -> content and mode."""
    contents: dict[str, tuple[bytes, int]] = {
        "edge": ((sources / "start").read_bytes(), 0o755),
        "etc/nginx.conf": ((sources / "nginx.conf").read_bytes(), 0o644),
        "etc/passwd": (USERS.encode(), 0o644),
        "etc/group": (GROUPS.encode(), 0o644),
    }
    for name, source in {PROGRAM: files / PROGRAM, "bin/sh": SHELL}.items():
        contents[name] = (source.read_bytes(), 0o755)
        for library in shared_libraries(source):
            contents[str(library).lstrip("/")] = (library.read_bytes(), 0o755)
    return contents


def _run(command: list[str], directory: Path | None = None) -> None:
    subprocess.run(command, cwd=directory, stdout=subprocess.DEVNULL, check=True, timeout=DOWNLOAD_SECONDS)


if __name__ == "__main__":
    os.umask(0o022)
    write_archive(Path(sys.argv[1]), collect(unpacked(Path.cwd()), Path(__file__).parent), DIRECTORIES)
