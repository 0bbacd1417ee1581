"""Whether this machine's Docker can carry a cluster; if not, one line says what to do about it.

Asked before anything slow is started, because Docker's own messages come late and speak of sockets.
"""

from __future__ import annotations

import hashlib
import sys

import docker
from docker.errors import DockerException

from pytest_swarm.engine_client import DockerUnavailable, connect_host
from pytest_swarm.image import ImageError, ensure_node_image, ensure_service_images, node_run_options
from pytest_swarm.locust_files import LocustFilesError, ensure_locust
from pytest_swarm.owned_folders import cache_directory
from pytest_swarm.ownership import Owner
from pytest_swarm.progress import Progress

TRIAL_SECONDS = 60

# What the node's entrypoint starts with; a host that allows these allows the rest.
TRIAL = """
set -e
mount -o remount,bind,rw /sys
for path in $(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts); do mount -o remount,bind,rw "$path"; done
umount /proc/sys 2>/dev/null || test -w /proc/sys/net/ipv4/ip_forward
ip link add trial type bridge
nft add table ip trial
"""


def check_capabilities(client: docker.DockerClient, node_image: str) -> None:
    """Try what a node does first, in a container with a node's rights; an engine that passed is not asked again.

    Raises DockerUnavailable.
    """
    try:
        passed = cache_directory() / _engine_key(client)
        if passed.exists():
            return
        refusal = _try_what_a_node_needs(client, node_image)
    except (DockerException, OSError) as error:
        refusal = str(getattr(error, "explanation", None) or error)
    if refusal is not None:
        raise DockerUnavailable(
            "Docker refuses what an engine inside a container needs (all capabilities but SYS_RESOURCE, no seccomp; "
            f"rootless engines do not allow it): {' '.join(refusal.split())}"
        )
    passed.touch()


def _engine_key(client: docker.DockerClient) -> str:
    engine = f"{client.info()['ID']} {client.version()['Version']} {sorted(node_run_options())} {TRIAL}"
    return f"passed-{hashlib.sha256(engine.encode()).hexdigest()[:16]}"


def _try_what_a_node_needs(client: docker.DockerClient, node_image: str) -> str | None:
    """Return what was refused, or None."""
    options = node_run_options() | {"detach": False, "labels": Owner.current().labels}
    container = client.containers.create(node_image, entrypoint=["sh", "-c", TRIAL], network_mode="none", **options)
    try:
        container.start()
        status = container.wait(timeout=TRIAL_SECONDS)["StatusCode"]
        output = container.logs().decode(errors="replace").strip().splitlines()
    finally:
        container.remove(force=True, v=True)
    if status == 0:
        return None
    return output[-1] if output else f"status {status}"


def main() -> int:
    """Entry point of `python -m pytest_swarm.preflight`: make all that a cluster needs before its first boot."""
    progress = Progress.on_standard_error()
    try:
        client = connect_host()
        node_image = ensure_node_image(client, progress=progress)
        ensure_service_images(client, progress=progress)
        check_capabilities(client, node_image)
        ensure_locust(client, node_image, Owner.current(), progress=progress)
    except (ImageError, LocustFilesError, DockerUnavailable) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        progress.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
