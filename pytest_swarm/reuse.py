"""One cluster for many sessions: booted by the first that asks for its name, found by its label by all later ones.

A session holds a lock on the cluster it uses (see `ownership`), so that no two share one, and the clean-up leaves it
alone meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.boot import (
    READY_SECONDS,
    Booted,
    BootPlan,
    BootTimes,
    docker_version,
    prepare_node,
    wait_until_ready,
)
from pytest_swarm.breakage import forget_faults
from pytest_swarm.engine_client import new_network
from pytest_swarm.engines.base import Engine
from pytest_swarm.node import Node
from pytest_swarm.ownership import DIRECTORY_LABEL, LABEL, REUSE_LABEL, Owner
from pytest_swarm.progress import Progress
from pytest_swarm.service_images import Archive
from pytest_swarm.submission import submit

if TYPE_CHECKING:
    import docker

IMAGES_FILE = "images.json"


class CannotReuse(Exception):
    """The cluster of that name is no use to this session; the message is one line and says what to do."""


@dataclasses.dataclass(frozen=True)
class Likeness:
    """What a cluster must have in common with what is asked for."""

    name: str
    engine: str
    nodes: int
    managers: int
    image: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its network."""
        return {REUSE_LABEL: json.dumps(dataclasses.asdict(self), sort_keys=True)}

    def differences(self, other: Likeness) -> list[str]:
        """What the other one has that this one has not."""
        theirs = dataclasses.asdict(other)
        return [
            f"{field} {theirs[field]} instead of {value}"
            for field, value in dataclasses.asdict(self).items()
            if theirs[field] != value
        ]


def find(host: docker.DockerClient, wanted: Likeness) -> tuple[Owner, Mapping[str, Any]] | None:
    """The owner and the network of the cluster of this name and engine. Raises CannotReuse when it is another kind."""
    for network in host.api.networks(filters={"label": REUSE_LABEL}):
        owner = Owner.parse(network["Labels"].get(LABEL, ""))
        found = likeness_of(network["Labels"][REUSE_LABEL])
        if owner is None or found is None or (found.name, found.engine) != (wanted.name, wanted.engine):
            continue
        differences = wanted.differences(found)
        if differences:
            raise CannotReuse(
                f"the cluster {wanted.name} has {', '.join(differences)}: "
                f"remove it (pytest-swarm-cleanup {owner.run}) or use another name"
            )
        return owner, network
    return None


def likeness_of(text: str) -> Likeness | None:
    """Read the label's value; None when it is not one of ours."""
    try:
        return Likeness(**json.loads(text))
    except (ValueError, TypeError):
        return None


def attach(plan: BootPlan, network: Mapping[str, Any], progress: Progress) -> Booted:
    """Take up the nodes of a cluster that runs; those that have stopped are started again, and no fault stays.

    Raises CannotReuse when nodes are missing or do not come back.
    """
    from docker.errors import DockerException

    from pytest_swarm.waiting import DeadlineExceeded

    progress("taking up the cluster")
    remedy = f"remove it: pytest-swarm-cleanup {plan.owner.run}"
    nodes = _nodes(plan, network)
    if len(nodes) != len(plan.names):
        raise CannotReuse(
            f"{len(plan.names) - len(nodes)} of the cluster's {len(plan.names)} nodes are missing; {remedy}"
        )
    try:
        for node in nodes:
            revive(node, plan.engine)
        wait_until_ready(nodes[0], len(nodes), plan.managers, READY_SECONDS)
        version = docker_version(nodes[0])
    except (DeadlineExceeded, DockerException, RuntimeError, OSError) as error:
        for node in nodes:
            node.close()
        raise CannotReuse(f"the cluster does not come back: {' '.join(str(error).split())}; {remedy}") from None
    known = new_network(network["Name"], {})
    known._docker.client.close()  # it has no other way to close its connection
    return Booted(nodes, known, BootTimes(0.0, 0.0, 0.0, 0.0), version)


def revive(node: Node, engine: Engine) -> None:
    """What a session that was killed has left: a node that stands still or is broken inside."""
    has_stopped = node.container.status != "running"
    if node.container.status == "paused":
        node.container.unpause()
    elif has_stopped:
        node.container.start()
    forget_faults(node, engine.state_directory())
    if has_stopped:
        prepare_node(node, engine)


def _nodes(plan: BootPlan, network: Mapping[str, Any]) -> tuple[Node, ...]:
    """The cluster's nodes; what else its owner has, such as a load that was cut short, is removed."""
    from docker.errors import NotFound

    by_name = {plan.owner.name_of(name): name for name in plan.names}
    nodes = []
    for container in plan.host.containers.list(all=True, filters={"label": f"{LABEL}={plan.owner.label}"}):
        name = by_name.get(container.name)
        if name is None:
            with contextlib.suppress(NotFound):
                container.remove(force=True, v=True)
            continue
        settings = container.attrs["NetworkSettings"]["Networks"][network["Name"]]
        # One that has stopped has only the address it is to get.
        address = settings["IPAddress"] or (settings.get("IPAMConfig") or {}).get("IPv4Address", "")
        nodes.append(Node(name, container, address, plan.directory / name / "docker.sock"))
    return tuple(sorted(nodes, key=lambda node: int(node.name[1:])))


def tidy(api: Any, activate_all: Callable[[], None]) -> None:
    """Remove the services that earlier sessions left, and let every node take tasks."""
    for service in api.services():
        submit(
            functools.partial(api.remove_service, service["ID"]),
            what=f"removal of {service['Spec']['Name']}",
            timeout=READY_SECONDS,
        )
    activate_all()


def changed_images(directory: Path, archives: Mapping[str, Archive]) -> dict[str, Archive]:
    """Those of the archives that the cluster has not got, or got with another content."""
    known = _known_images(directory)
    return {tag: archive for tag, archive in archives.items() if known.get(tag) != _content_of(archive.path)}


def note_images(directory: Path, archives: Mapping[str, Archive]) -> None:
    """Remember what the cluster has got."""
    known = _known_images(directory) | {tag: _content_of(archive.path) for tag, archive in archives.items()}
    (directory / IMAGES_FILE).write_text(json.dumps(known), encoding="utf-8")


def _known_images(directory: Path) -> dict[str, str]:
    try:
        known = json.loads((directory / IMAGES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(known) if isinstance(known, dict) else {}


def _content_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def directory_of(network: Mapping[str, Any]) -> Path:
    """The cluster's folder on this machine."""
    return Path(network["Labels"][DIRECTORY_LABEL])
