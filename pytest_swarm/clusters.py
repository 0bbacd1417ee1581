"""Clusters that outlive the process that made them: find them by their labels, make one, take one up by its name."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.boot import BootPlan, boot, node_names
from pytest_swarm.cleanup import owning
from pytest_swarm.cluster_folder import is_in_use, mark_standing
from pytest_swarm.engines import engine_named
from pytest_swarm.ownership import DIRECTORY_LABEL, LABEL, REUSE_LABEL, Owner
from pytest_swarm.progress import Progress
from pytest_swarm.reuse import Likeness, likeness_of, note_images
from pytest_swarm.service_images import Archive, load_into_all

if TYPE_CHECKING:
    import docker


class NoSuchCluster(Exception):
    """There is no cluster of that name, or the name is taken; the message is one line and says what there is."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A cluster as its labels tell of it; `likeness` is None for one that is a single session's own."""

    owner: Owner
    network: Mapping[str, Any]
    likeness: Likeness | None
    containers: tuple[Any, ...]

    @property
    def name(self) -> str:
        """What the command line calls it: its name, or its run's."""
        return self.likeness.name if self.likeness is not None else self.owner.run

    @property
    def directory(self) -> Path:
        """Its folder on this machine."""
        return Path(self.network["Labels"][DIRECTORY_LABEL])

    @property
    def nodes(self) -> dict[str, Any]:
        """Node name -> its container, in the order of their numbers."""
        prefix = self.owner.name_of("n")
        numbers = {container.name.removeprefix(prefix): container for container in self.containers}
        return {f"n{number}": numbers[number] for number in sorted(filter(str.isdigit, numbers), key=int)}

    @property
    def running(self) -> int:
        """How many of its nodes run."""
        return sum(container.status == "running" for container in self.nodes.values())

    @property
    def user(self) -> str:
        """Who uses it now: a process, or nobody."""
        if self.owner.is_alive():
            return f"process {self.owner.process_id}"
        return "a session" if is_in_use(self.directory) else ""

    def socket(self, node: str) -> Path:
        """The node's API on this machine."""
        return self.directory / node / "docker.sock"

    def address(self, node: str) -> str:
        """The node's address on the cluster's network; empty while it does not run."""
        networks = self.nodes[node].attrs["NetworkSettings"]["Networks"]
        return str(networks[self.network["Name"]]["IPAddress"])


def find_all(host: docker.DockerClient) -> list[Found]:
    """Every cluster on this engine, by name."""
    found = []
    for network in host.api.networks(filters={"label": LABEL}):
        labels = network["Labels"]
        owner = Owner.parse(labels[LABEL])
        if owner is None or DIRECTORY_LABEL not in labels:
            continue
        containers = host.containers.list(all=True, filters={"label": f"{LABEL}={owner.label}"}, ignore_removed=True)
        likeness = likeness_of(labels[REUSE_LABEL]) if REUSE_LABEL in labels else None
        found.append(Found(owner, network, likeness, tuple(containers)))
    return sorted(found, key=lambda each: each.name)


def find(host: docker.DockerClient, name: str) -> Found:
    """The cluster of this name, or of the run of this name. Raises NoSuchCluster."""
    clusters = find_all(host)
    found = [cluster for cluster in clusters if name in (cluster.name, cluster.owner.run)]
    if len(found) == 1:
        return found[0]
    if found:
        runs = " or ".join(cluster.owner.run for cluster in found)
        raise NoSuchCluster(f"there are {len(found)} clusters {name!r}: give the one you mean by its run, {runs}")
    there_are = f"there is {', '.join(cluster.name for cluster in clusters)}" if clusters else "there is none"
    raise NoSuchCluster(f"there is no cluster {name!r}: {there_are}")


def create(
    host: docker.DockerClient, wanted: Likeness, images: Mapping[str, Archive], progress: Progress, *, is_bare: bool
) -> Found:
    """Boot a cluster that stays, with the images in its nodes. What a failed or interrupted boot made is removed.

    Raises NoSuchCluster when the name is taken, DeadlineExceeded, docker.errors.APIError and BadImage.
    """
    if any(cluster.name == wanted.name for cluster in find_all(host)):
        raise NoSuchCluster(f"there is a cluster {wanted.name!r} already: remove it, or choose another name")
    with owning(host, progress, keep=lambda: True) as (owner, directory):
        plan = BootPlan(
            host,
            owner,
            directory,
            wanted.image,
            engine_named(wanted.engine),
            node_names(wanted.nodes),
            wanted.managers,
            wanted.labels,
            is_bare,
        )
        booted = boot(plan, progress)
        with contextlib.ExitStack() as clients:
            for node in booted.nodes:
                clients.callback(node.close)
            progress("loading the images into the nodes")
            load_into_all([node.client for node in booted.nodes], images)
        note_images(directory, images)
        mark_standing(directory)
    return find(host, wanted.name)
