"""The fixtures of the plugin. Everything heavy is imported only when a test asks for a cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_swarm.engine_client import DockerUnavailable, connect_host
from pytest_swarm.engines import engine_named
from pytest_swarm.interruption import sigterm_as_interrupt
from pytest_swarm.markers import LOAD_KEY, marked_budget
from pytest_swarm.session import Session, results_directory, session_of

if TYPE_CHECKING:
    import docker

    from pytest_swarm.cluster import Cluster
    from pytest_swarm.load import Load
    from pytest_swarm.service_images import Archive


@pytest.fixture(scope="session")
def swarm_images() -> Mapping[str, Path | str]:
    """Images for every node, as {"name:tag": source}. Override it to bring your own.

    A source is the Path of an archive (of `docker export` or `docker save`) or of a folder with a Dockerfile, or the
    name of an image that the local engine has.
    """
    return {}


@pytest.fixture(scope="session")
def swarm_host(request: pytest.FixtureRequest) -> Iterator[docker.DockerClient]:
    """A docker-py client of the engine that hosts the clusters; without one the test is skipped, or fails."""
    try:
        client = connect_host()
    except DockerUnavailable as error:
        raise _given_up(session_of(request.config), str(error)) from None
    with contextlib.closing(client):
        yield client


@pytest.fixture(scope="session")
def swarm_node_image(request: pytest.FixtureRequest, swarm_host: docker.DockerClient) -> str:
    """The tag of the image that every node runs, built where needed, on an engine that can carry it."""
    from pytest_swarm.image import ImageError, ensure_node_image
    from pytest_swarm.preflight import check_capabilities

    session = session_of(request.config)
    try:
        image = ensure_node_image(swarm_host, progress=session.progress)
        check_capabilities(swarm_host, image)
    except ImageError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    except DockerUnavailable as error:
        raise _given_up(session, str(error)) from None
    return image


@pytest.fixture(scope="session")
def swarm_engine(request: pytest.FixtureRequest) -> str:
    """What orchestrates the cluster of this test: one of those that --swarm-engine names."""
    only = session_of(request.config).options.engines[0]
    return str(getattr(request, "param", only))


@pytest.fixture(scope="session")
def swarm(
    request: pytest.FixtureRequest,
    swarm_engine: str,
    swarm_host: docker.DockerClient,
    swarm_node_image: str,
    swarm_images: Mapping[str, Path | str],
) -> Iterator[Cluster]:
    """A running swarm cluster (see --swarm-nodes); services deployed in a test are removed after it."""
    session = session_of(request.config)
    run = _running if session.options.reuse is None else _reused
    with run(session, swarm_engine, swarm_host, swarm_node_image, swarm_images) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def fresh_swarm(
    request: pytest.FixtureRequest,
    swarm_engine: str,
    swarm_host: docker.DockerClient,
    swarm_node_image: str,
    swarm_images: Mapping[str, Path | str],
) -> Iterator[Cluster]:
    """A cluster of the module's own, like `swarm`: for tests that change or break the nodes themselves.

    A module whose tests ask for `swarm` gets it by a fixture of that name, of module scope, that returns this one.
    """
    with _running(session_of(request.config), swarm_engine, swarm_host, swarm_node_image, swarm_images) as cluster:
        yield cluster


@contextlib.contextmanager
def _running(
    session: Session, engine: str, host: docker.DockerClient, node_image: str, images: Mapping[str, Path | str]
) -> Iterator[Cluster]:
    from pytest_swarm.cluster import running_cluster

    options = session.options
    archives = _archives(session, host, images)
    with (
        sigterm_as_interrupt(),
        running_cluster(
            host,
            engine_named(engine),
            image=node_image,
            nodes=options.nodes,
            managers=options.managers,
            keep=session.wants_to_keep_cluster,
            progress=session.progress,
        ) as cluster,
    ):
        session.clusters[engine] = cluster
        _load_archives(session, cluster, archives)
        yield cluster
        if session.wants_to_keep_cluster():
            session.kept_clusters.append(cluster)
    session.progress.clear()


@contextlib.contextmanager
def _reused(
    session: Session, engine: str, host: docker.DockerClient, node_image: str, images: Mapping[str, Path | str]
) -> Iterator[Cluster]:
    from pytest_swarm.cluster import reused_cluster
    from pytest_swarm.reuse import CannotReuse, changed_images, note_images

    options = session.options
    assert options.reuse is not None
    archives = _archives(session, host, images)
    # Each worker of pytest-xdist has a cluster of its own.
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    name = f"{options.reuse}-{worker}" if worker else options.reuse
    with sigterm_as_interrupt(), contextlib.ExitStack() as stack:
        try:
            cluster = stack.enter_context(
                reused_cluster(
                    host,
                    engine_named(engine),
                    name,
                    image=node_image,
                    nodes=options.nodes,
                    managers=options.managers,
                    progress=session.progress,
                )
            )
        except CannotReuse as error:
            raise pytest.fail.Exception(f"--swarm-reuse is {options.reuse!r}: {error}", pytrace=False) from None
        session.clusters[engine] = cluster
        news = changed_images(cluster.directory, archives)
        if news:
            _load_archives(session, cluster, news)
            note_images(cluster.directory, news)
        session.progress.clear()
        yield cluster
        session.kept_clusters.append(cluster)
    session.progress.clear()


def _archives(session: Session, host: docker.DockerClient, images: Mapping[str, Path | str]) -> dict[str, Archive]:
    """The images as archives, before anything is booted: a bad one is told at once."""
    from pytest_swarm.owned_folders import cache_directory
    from pytest_swarm.service_images import BadImage, as_archives

    try:
        return as_archives(images, host, cache_directory(), session.progress)
    except BadImage as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def _load_archives(session: Session, cluster: Cluster, archives: Mapping[str, Archive]) -> None:
    from pytest_swarm.service_images import BadImage

    session.progress("loading the images into the nodes")
    try:
        cluster.load_archives(archives)
    except BadImage as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    session.progress.clear()


@pytest.fixture
def load(
    request: pytest.FixtureRequest, swarm: Cluster, record_property: Callable[[str, object], None]
) -> Iterator[Load]:
    """Drive load at a service: `with load(service, users=10, requests=500) as run:`."""
    from pytest_swarm.load import Load
    from pytest_swarm.report.junit import properties_of

    session = session_of(request.config)
    root = session.options.report_dir
    directory = swarm.directory / "results" if root is None else root.resolve()
    test = request.node.nodeid.rpartition("/")[2]
    budget = session.options.loss_budget
    marked = marked_budget(request.node)
    loader = Load(
        swarm,
        test,
        lambda name: results_directory(directory, test, name),
        budget if marked is None else marked.over(budget),
        _location(request.node),
    )
    request.node.stash[LOAD_KEY] = loader
    yield loader
    session.runs.extend(loader.runs)
    for name, value in properties_of(loader.runs):
        record_property(name, value)


@pytest.fixture(autouse=True)
def _swarm_isolation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Undo after a test what it did to the shared cluster; services of wider fixtures stay.

    After the last test only its faults are healed: the cluster is removed next, and one that is kept shows the rest.
    """
    if "swarm" not in request.fixturenames:
        yield
        return
    cluster: Cluster = request.getfixturevalue("swarm")
    before = set(cluster.services)
    yield
    if session_of(request.config).another_test_follows:
        cluster.reset(keep=before)
    else:
        cluster.heal(wait=False)


def _location(item: pytest.Item) -> tuple[str, int]:
    """Where a test is, as GitHub wants to be told: its file below the checkout, and its line."""
    line = item.location[1]
    root = os.environ.get("GITHUB_WORKSPACE") or os.getcwd()
    return os.path.relpath(item.path, root), 1 if line is None else line + 1


def _given_up(session: Session, reason: str) -> BaseException:
    # Someone who asks for a number of nodes wants a cluster; a plain `pytest` can do without.
    if session.options.nodes_given:
        return pytest.fail.Exception(reason, pytrace=False)
    return pytest.skip.Exception(reason)
