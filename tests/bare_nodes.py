"""Nodes that belong to no swarm yet, and images made of the sample service's with more programs in them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_swarm.boot import BootPlan, boot
from pytest_swarm.cleanup import owning
from pytest_swarm.engines import engine_named
from pytest_swarm.interruption import sigterm_as_interrupt
from pytest_swarm.node import Node
from pytest_swarm.session import Session

if TYPE_CHECKING:
    import docker


@contextmanager
def bare_nodes(
    session: Session, host: docker.DockerClient, image: str, names: Sequence[str]
) -> Iterator[tuple[Node, ...]]:
    """Nodes of these names, each by itself, which are removed at the end."""
    engine = engine_named(session.options.engines[0])
    with (
        sigterm_as_interrupt(),
        owning(host, session.progress) as (owner, directory),
        ExitStack() as clients,
    ):
        plan = BootPlan(host, owner, directory, image, engine, names, 1, is_bare=True)
        nodes = boot(plan, session.progress).nodes
        for node in nodes:
            clients.callback(node.close)
        session.progress.clear()
        yield nodes
    session.progress.clear()


def add_programs(sample: Path, target: Path, programs: Mapping[str, bytes]) -> None:
    """Write an archive of what is in another one and these programs, from their paths in the image."""
    archive = io.BytesIO(gzip.decompress(sample.read_bytes()))
    with tarfile.open(fileobj=archive, mode="a") as image:
        for path, text in programs.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text), 0o755
            image.addfile(member, io.BytesIO(text))
    target.write_bytes(gzip.compress(archive.getvalue(), compresslevel=1))
