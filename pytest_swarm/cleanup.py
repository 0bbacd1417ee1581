"""Remove what a run made, and with `pytest-swarm-cleanup` what crashed runs left behind or were told to keep."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.cluster_folder import is_in_use, is_standing
from pytest_swarm.engine_client import DockerUnavailable, connect_host
from pytest_swarm.owned_folders import new_folder, owned_folders, remove_folders
from pytest_swarm.ownership import DIRECTORY_LABEL, LABEL, Owner
from pytest_swarm.progress import Progress
from pytest_swarm.waiting import DeadlineExceeded, Done, NotYet, wait_until

if TYPE_CHECKING:
    import docker

DESCRIPTION = (
    "Remove the containers, networks, volumes and folders of clusters whose pytest is gone, kept clusters included. "
    "Clusters that something still uses are never touched."
)
_PARALLEL_REMOVALS = 8
_REMOVAL_SECONDS = 60.0


def remove_owned(client: docker.DockerClient, owner: Owner) -> list[str]:
    """Remove every container, network, volume and folder with this owner's label; return their names.

    What somebody else removes meanwhile is waited for. Raises docker.errors.APIError for what the engine refuses,
    OSError for what the system does, DeadlineExceeded for a removal by others that does not end.
    """
    from docker.errors import NotFound

    filters = {"label": f"{LABEL}={owner.label}"}
    containers = client.api.containers(all=True, filters=filters)
    networks = client.api.networks(filters=filters)
    with ThreadPoolExecutor(_PARALLEL_REMOVALS) as pool:
        removed = list(pool.map(lambda item: _remove_container(client, item), containers))
    for network in networks:
        with contextlib.suppress(NotFound):
            client.api.remove_network(network["Id"])
        removed.append(f"network {network['Name']}")
    for volume in client.api.volumes(filters=filters)["Volumes"] or []:
        with contextlib.suppress(NotFound):
            client.api.remove_volume(volume["Name"], force=True)
        removed.append(f"volume {volume['Name']}")
    removed += [f"folder {folder}" for folder in remove_folders(owner)]
    return removed


@contextlib.contextmanager
def owning(
    client: docker.DockerClient, progress: Progress, *, keep: Callable[[], bool] = lambda: False
) -> Iterator[tuple[Owner, Path]]:
    """A new owner and its folder. What bears its label is removed in the end, unless `keep` says otherwise then.

    After an error all of it goes, whatever `keep` would say.
    """
    owner = Owner.current()
    directory = new_folder(owner)
    kept = False
    try:
        yield owner, directory
        kept = keep()
    finally:
        if not kept:
            progress("removing the cluster")
            remove_owned(client, owner)


def find_dead_owners(client: docker.DockerClient, *, standing: bool = False) -> list[Owner]:
    """Return the owners of labelled things and folders whose process is gone, and whose cluster no session uses.

    Those of a cluster that `cluster create` made are among them only with `standing`.
    """
    labels = [item["Labels"] for item in _labelled(client)]
    folders = [(Owner.parse(each[LABEL]), Path(each[DIRECTORY_LABEL])) for each in labels if DIRECTORY_LABEL in each]
    folders += owned_folders()
    spared = {owner for owner, folder in folders if is_in_use(folder) or (is_standing(folder) and not standing)}
    owners = {Owner.parse(each[LABEL]) for each in labels} | {owner for owner, _ in folders}
    dead = {owner for owner in owners - spared if owner is not None and not owner.is_alive()}
    return sorted(dead, key=lambda owner: owner.label)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `prune` reads."""
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="only these runs, as --dry-run names them (default: all)"
    )
    parser.add_argument("--all", action="store_true", help="the clusters of `cluster create` too")
    parser.add_argument("--dry-run", action="store_true", help="only say which runs left something")


def prune(client: docker.DockerClient, options: argparse.Namespace) -> int:
    """Remove what processes that are gone have left, and say so; returns the exit status."""
    dead = find_dead_owners(client, standing=options.all)
    owners = [owner for owner in dead if not options.runs or owner.run in options.runs]
    if not owners:
        sys.stdout.write("nothing to clean up\n")
    # Every one is tried, whatever became of those before it.
    return max([_clean_up(client, owner, dry_run=options.dry_run) for owner in owners], default=0)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `pytest-swarm-cleanup`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pytest-swarm-cleanup", description=DESCRIPTION)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        client = connect_host()
    except DockerUnavailable as error:
        sys.stderr.write(f"pytest-swarm-cleanup: {error}\n")
        return 1
    with contextlib.closing(client):
        return prune(client, options)


def _clean_up(client: docker.DockerClient, owner: Owner, *, dry_run: bool) -> int:
    """Say whose remains are there and remove them; the exit status."""
    from docker.errors import DockerException

    sys.stdout.write(f"run {owner.run} of process {owner.process_id}, which is gone\n")
    if dry_run:
        return 0
    try:
        removed = remove_owned(client, owner)
    except (DockerException, OSError, DeadlineExceeded) as error:
        reason = " ".join(str(getattr(error, "explanation", None) or error).split())
        sys.stderr.write(f"pytest-swarm-cleanup: run {owner.run} is not all gone: {reason}\n")
        return 1
    sys.stdout.writelines(f"  removed {name}\n" for name in removed)
    return 0


def _labelled(client: docker.DockerClient) -> Iterator[dict[str, Any]]:
    filters = {"label": LABEL}
    listings: Iterable[Iterable[dict[str, Any]]] = (
        client.api.containers(all=True, filters=filters),
        client.api.networks(filters=filters),
        client.api.volumes(filters=filters)["Volumes"] or [],
    )
    for listing in listings:
        yield from listing


def _remove_container(client: docker.DockerClient, item: dict[str, Any]) -> str:
    from docker.errors import APIError, NotFound

    def gone() -> Done[None] | NotYet:
        try:
            client.api.inspect_container(item["Id"])
        except NotFound:
            return Done(None)
        return NotYet("it is there")

    name = item["Names"][0].lstrip("/")
    try:
        client.api.remove_container(item["Id"], force=True, v=True)
    except NotFound:
        pass  # somebody else was faster
    except APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise
        # Somebody else is at it. Its network can be removed only when it has gone.
        wait_until(gone, what=f"removal of container {name} by others", timeout=_REMOVAL_SECONDS)
    return f"container {name}"
