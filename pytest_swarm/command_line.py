"""`python -m pytest_swarm cluster ...`: a cluster to play with, driven by the stock `docker` CLI.

    python -m pytest_swarm cluster create
    eval "$(python -m pytest_swarm cluster env swarm)"
    docker node ls

The clusters are those of the plugin: `pytest --swarm-reuse=NAME` runs its tests on one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_swarm import cleanup
from pytest_swarm.engine_client import DockerUnavailable, connect_host
from pytest_swarm.interruption import sigterm_as_interrupt
from pytest_swarm.options import ENGINES, default_managers, positive
from pytest_swarm.progress import Progress
from pytest_swarm.waiting import DeadlineExceeded

if TYPE_CHECKING:
    import docker

DEFAULT_NAME = "swarm"
INTERRUPTED = 130


class CommandError(Exception):
    """What was asked for cannot be done; the message is one line."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    progress = Progress.on_standard_error()
    try:
        with sigterm_as_interrupt(), contextlib.closing(connect_host()) as host:
            status: int = options.run(host, options, progress)
            return status
    except KeyboardInterrupt:
        progress.clear()
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except Exception as error:
        if not isinstance(error, _expected_errors()):
            raise
        progress.clear()
        reason = getattr(error, "reason", None) or getattr(error, "explanation", None) or error
        sys.stderr.write(f"{' '.join(str(reason).split())}\n")
        return 1
    finally:
        progress.close()


def _expected_errors() -> tuple[type[Exception], ...]:
    from docker.errors import DockerException

    from pytest_swarm.clusters import NoSuchCluster
    from pytest_swarm.image import ImageError
    from pytest_swarm.service_images import BadImage

    return (CommandError, DockerUnavailable, DockerException, NoSuchCluster, ImageError, BadImage, DeadlineExceeded)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_swarm", description="Swarm clusters in containers.")
    areas = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    cluster = areas.add_parser("cluster", help="make and use clusters that stay until they are removed")
    commands = cluster.add_subparsers(title="commands", metavar="COMMAND", required=True)

    create = commands.add_parser(
        "create", help="boot a cluster", description="Boot a cluster; the sample service's images are in its nodes."
    )
    create.add_argument("--name", type=_name, default=DEFAULT_NAME, help="what to call it (default: %(default)s)")
    create.add_argument("--nodes", type=_positive, default=4, metavar="N", help="(default: %(default)s)")
    create.add_argument(
        "--managers", type=_positive, metavar="N", help="how many of the nodes (default: 3, fewer with fewer nodes)"
    )
    create.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help="ours, or Docker's own swarm mode (default: %(default)s)"
    )
    create.add_argument("--bare", action="store_true", help="stop before `swarm init`: nodes in no swarm yet")
    create.set_defaults(run=_create)

    ls = commands.add_parser("ls", help="list the clusters", description="List every cluster on this engine.")
    ls.set_defaults(run=_ls)

    env = commands.add_parser(
        "env",
        help="print what points the docker CLI at a node",
        description='Print what points the docker CLI and docker-py at a node: eval "$(... cluster env NAME)".',
    )
    env.add_argument("name", metavar="NAME")
    env.add_argument("node", metavar="NODE", nargs="?", default="n1", help="n1 to nN (default: %(default)s)")
    env.set_defaults(run=_env)

    load = commands.add_parser(
        "load",
        help="bring an image into every node",
        description="Bring an image of this machine's engine, or a tar of docker save or docker export, into every "
        "node.",
    )
    load.add_argument("name", metavar="NAME")
    load.add_argument("source", metavar="IMAGE|TAR")
    load.add_argument("-t", "--tag", metavar="NAME:TAG", help="its name in the nodes (default: the one it has)")
    load.set_defaults(run=_load)

    rm = commands.add_parser("rm", help="remove clusters", description="Remove clusters, whatever runs in them.")
    rm.add_argument("names", metavar="NAME", nargs="+")
    rm.set_defaults(run=_rm)

    prune = commands.add_parser("prune", help="remove what runs left behind", description=cleanup.DESCRIPTION)
    cleanup.add_arguments(prune)
    prune.set_defaults(run=_prune)
    return parser


def _positive(text: str) -> int:
    try:
        return positive(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, not {text!r}") from None


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,62}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name of letters, digits, '_', '-' and '.'")
    return text


def _create(host: docker.DockerClient, options: argparse.Namespace, progress: Progress) -> int:
    from pytest_swarm import clusters
    from pytest_swarm.image import ensure_node_image, ensure_service_images
    from pytest_swarm.owned_folders import cache_directory
    from pytest_swarm.preflight import check_capabilities
    from pytest_swarm.reuse import Likeness
    from pytest_swarm.service_images import as_archives

    managers = options.managers or default_managers(options.nodes)
    if managers > options.nodes:
        raise CommandError(
            f"--managers is {managers}, but there are only {options.nodes} nodes: raise --nodes or lower --managers"
        )
    image = ensure_node_image(host, progress=progress)
    check_capabilities(host, image)
    samples = ensure_service_images(host, progress=progress)
    archives = as_archives(samples, host, cache_directory(), progress)
    wanted = Likeness(options.name, options.engine, options.nodes, managers, image)
    found = clusters.create(host, wanted, archives, progress, is_bare=options.bare)
    progress.clear()
    swarm = "in no swarm yet" if options.bare else f"{managers} of them managers"
    invocation = f"{shlex.quote(sys.executable)} -m pytest_swarm cluster"
    sys.stdout.write(
        f"cluster {found.name}: {len(found.nodes)} nodes, {swarm}, with {' and '.join(archives)} in each\n"
        f'drive it from here:  eval "$({invocation} env {found.name})" && docker node ls\n'
        f"enter a node:        docker exec -it {next(iter(found.nodes.values())).name} bash\n"
        f"remove it:           {invocation} rm {found.name}\n"
    )
    return 0


def _ls(host: docker.DockerClient, options: argparse.Namespace, progress: Progress) -> int:
    from tabulate import tabulate

    from pytest_swarm.clusters import find_all

    rows = []
    for found in find_all(host):
        likeness = found.likeness
        kind = (likeness.engine, likeness.managers) if likeness is not None else ("", "")
        rows.append((found.name, kind[0], f"{found.running}/{len(found.nodes)}", kind[1], found.owner.run, found.user))
    headers = ("NAME", "ENGINE", "NODES", "MANAGERS", "RUN", "USED BY")
    sys.stdout.write(f"{tabulate(rows, headers, tablefmt='plain', disable_numparse=True)}\n")
    return 0


def _env(host: docker.DockerClient, options: argparse.Namespace, progress: Progress) -> int:
    from pytest_swarm.clusters import find

    found = find(host, options.name)
    if options.node not in found.nodes:
        raise CommandError(f"cluster {found.name} has no node {options.node!r}: it has {', '.join(found.nodes)}")
    address = found.address(options.node)
    if not address:
        raise CommandError(_does_not_run(found.name, options.node))
    invocation = shlex.join([sys.executable, "-m", "pytest_swarm", "cluster", "env", options.name, options.node])
    sys.stdout.write(
        f"export DOCKER_HOST={shlex.quote(f'unix://{found.socket(options.node)}')}\n"
        f"export SWARM_NODE_ADDR={shlex.quote(address)}\n"
        f'# to use them:  eval "$({invocation})"\n'
    )
    return 0


def _does_not_run(cluster: str, node: str) -> str:
    return f"{node} of cluster {cluster} does not run: remove the cluster and make it anew"


def _load(host: docker.DockerClient, options: argparse.Namespace, progress: Progress) -> int:
    from pytest_swarm.clusters import find
    from pytest_swarm.engine_client import connect_node
    from pytest_swarm.owned_folders import cache_directory
    from pytest_swarm.service_images import Source, as_archives, load_into_all, tag_in

    found = find(host, options.name)
    for node in found.nodes:
        if not found.address(node):
            raise CommandError(_does_not_run(found.name, node))
    path = Path(options.source)
    source: Source = path if path.exists() else options.source
    tag = options.tag or (tag_in(path) if path.is_file() else options.source)
    if ":" not in tag.rpartition("/")[2]:
        tag = f"{tag}:latest"
    archives = as_archives({tag: source}, host, cache_directory(), progress)
    with contextlib.ExitStack() as clients:
        engines = [clients.enter_context(contextlib.closing(connect_node(found.socket(node)))) for node in found.nodes]
        progress(f"loading {tag} into {len(engines)} nodes")
        load_into_all(engines, archives)
    progress.clear()
    sys.stdout.write(f"{tag} is in {', '.join(found.nodes)}\n")
    return 0


def _rm(host: docker.DockerClient, options: argparse.Namespace, progress: Progress) -> int:
    from pytest_swarm.clusters import find

    # All names are looked up before anything is removed: a wrong one costs nothing.
    for found in [find(host, name) for name in options.names]:
        if found.user:
            raise CommandError(f"cluster {found.name} is used by {found.user}: end that first")
        progress(f"removing the cluster {found.name}")
        cleanup.remove_owned(host, found.owner)
        sys.stdout.write(f"{found.name}\n")
    return 0


def _prune(host: docker.DockerClient, options: argparse.Namespace, progress: Progress) -> int:
    return cleanup.prune(host, options)
