"""What of a run is there: what bears its label in Docker, and its folders."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.ownership import LABEL, PREFIX, Owner

if TYPE_CHECKING:
    import docker


def labelled(host: docker.DockerClient, run: str) -> dict[str, list[dict[str, Any]]]:
    """What exists of a run, by kind; kinds of which nothing exists are left out."""
    filters = {"label": LABEL}
    listings = {
        "containers": host.api.containers(all=True, filters=filters),
        "networks": host.api.networks(filters=filters),
        "volumes": host.api.volumes(filters=filters)["Volumes"] or [],
    }
    mine = {
        kind: [item for item in listing if item["Labels"][LABEL].startswith(f"{run}/")]
        for kind, listing in listings.items()
    }
    return {kind: listing for kind, listing in mine.items() if listing}


def runs_of(host: docker.DockerClient, process_id: int) -> set[str]:
    """The runs of a process of which there are containers."""
    containers = host.api.containers(all=True, filters={"label": LABEL})
    owners = [Owner.parse(container["Labels"][LABEL]) for container in containers]
    return {owner.run for owner in owners if owner is not None and owner.process_id == process_id}


def folders(run: str) -> set[Path]:
    """The folders of a run."""
    return set(Path(tempfile.gettempdir()).glob(f"{PREFIX}{run}*"))
