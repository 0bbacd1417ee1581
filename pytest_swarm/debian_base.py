"""A Debian root file system made on this machine, for hosts that can reach packages but no registry.

It holds exactly what `node_image/Dockerfile` installs, so a node behaves the same whichever way it was made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO

SUITE = "trixie"
BOOTSTRAP_SECONDS = 900.0
INSTALL_SECONDS = 300.0
CHUNK_BYTES = 1 << 20

# What the slim image of a registry leaves out, left out here too.
EXCLUDED_PATHS = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
)


class BootstrapError(Exception):
    """The root file system could not be made; the message is one line."""


def stream_root_file_system(packages: Sequence[str], progress: Callable[[str], None]) -> Iterator[bytes]:
    """Yield the tar archive of a minimal Debian with these packages while mmdebstrap writes it."""
    _require_mmdebstrap(progress)
    command = [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        *(f"--dpkgopt=path-exclude={path}" for path in EXCLUDED_PATHS),
        SUITE,
        "-",
        *_host_mirrors(),
    ]
    # Its messages go to a file: a pipe that nobody reads would stop it once full.
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages)
        watchdog = threading.Timer(BOOTSTRAP_SECONDS, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            while chunk := process.stdout.read(CHUNK_BYTES):
                yield chunk
            if process.wait() != 0:
                raise BootstrapError(f"mmdebstrap failed: {_last_line(messages)}")
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()


def _require_mmdebstrap(progress: Callable[[str], None]) -> None:
    if shutil.which("mmdebstrap"):
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise BootstrapError(
            "no registry can be reached and mmdebstrap is missing: install it (apt-get install mmdebstrap)"
        )
    progress("installing mmdebstrap")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"]
    for command in (["apt-get", "update"], install):
        try:
            result = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BootstrapError(f"{' '.join(command[:2])} took longer than {INSTALL_SECONDS:.0f} s") from None
        if result.returncode != 0:
            lines = result.stderr.decode(errors="replace").strip().splitlines()
            raise BootstrapError(f"{' '.join(command)} failed: {lines[-1] if lines else 'no message'}")


def _host_mirrors() -> list[str]:
    """The host's own Debian mirror, since it is known to be reachable; none leaves it to mmdebstrap."""
    if shutil.which("apt-get") is None:
        return []
    # apt itself reads its sources in every format they may be written in.
    result = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    mirrors = (line.strip() for line in result.stdout.splitlines())
    return [mirror for mirror in mirrors if mirror.rstrip("/").endswith("/debian")][:1]


def _last_line(messages: IO[bytes]) -> str:
    messages.seek(0)
    lines = messages.read().decode(errors="replace").strip().splitlines()
    errors = [line for line in lines if line.startswith("E:")]
    return (errors or lines or ["no message"])[-1]
