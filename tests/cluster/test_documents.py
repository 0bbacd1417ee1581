"""The examples of the documents that can run on the shared cluster, word for word, with a quick service as the shop."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from tests.documents import CHECKOUT, Example, examples

pytestmark = pytest.mark.cluster

BLOCK_SECONDS = "0.8"
EXAMPLES = {
    "README.md": ("test_update_loses_nothing",),
    "docs/first-test.md": ("test_update_loses_nothing",),
    "docs/faults.md": ("test_a_worker_dies", "test_the_next_leader_takes_over"),
    "docs/dns.md": ("test_names_during_an_update",),
    "docs/engines.md": ("test_nothing_is_lost",),
}
CASES = [(path, name) for path, names in EXAMPLES.items() for name in names]


@pytest.fixture(scope="module")
def shop_images(tmp_path_factory: pytest.TempPathFactory, swarm: Cluster, swarm_images: Mapping[str, Path]) -> None:
    """The sample service, whose command is /shop and which blocks for less, as the examples' own images."""
    images = {}
    for version in ("1", "2"):
        folder = tmp_path_factory.mktemp(f"shop-{version}")
        (folder / "files.tar.gz").write_bytes(swarm_images[f"docker-swarm-test:{version}"].read_bytes())
        (folder / "Dockerfile").write_text(
            f"FROM scratch\nADD files.tar.gz /\nADD shop /\nENV BLOCK_SECONDS={BLOCK_SECONDS}\n"
        )
        shop = folder / "shop"
        shop.write_text('#!/bin/sh\nexec /docker-swarm-test "$@"\n')
        shop.chmod(0o755)
        images[f"shop:{version}"] = folder
    swarm.load_images(images)


@pytest.fixture
def own_networks(swarm: Cluster) -> Iterator[None]:
    """Networks that an example makes are gone after it; its services have to go first."""
    before = overlay_networks(swarm)
    yield
    for service in swarm.services:
        service.remove()
    for network in overlay_networks(swarm) - before:
        swarm.api.remove_network(network)


def overlay_networks(swarm: Cluster) -> set[str]:
    """The cluster's own: the bridges of a node are other ones when another manager is asked."""
    return {str(network["Id"]) for network in swarm.api.networks(filters={"driver": "overlay"})}


@pytest.mark.parametrize(("path", "name"), CASES, ids=[f"{path}::{name}" for path, name in CASES])
@pytest.mark.usefixtures("shop_images", "own_networks")
def test_an_example_runs(swarm: Cluster, load: Load, swarm_engine: str, path: str, name: str) -> None:
    if path == "docs/faults.md" and len(swarm.nodes) < 4:
        pytest.skip("this example kills the fourth node")
    function = example_named(path, name)
    given = {"swarm": swarm, "load": load, "swarm_engine": swarm_engine, "order": "start-first"}
    function(**{parameter: given[parameter] for parameter in inspect.signature(function).parameters})


def test_no_example_with_a_test_is_left_out() -> None:
    left_out = [example for example in examples("python") if "def test_" in example.source and not is_run(example)]
    # Of a budget's examples there is nothing to run: their body is three dots.
    assert [example.name for example in left_out if ": ..." not in example.source] == []


def is_run(example: Example) -> bool:
    names = EXAMPLES.get(str(example.path.relative_to(CHECKOUT)), ())
    return any(f"def {name}(" in example.source for name in names)


def example_named(path: str, name: str) -> Callable[..., None]:
    (example,) = [each for each in examples("python") if each.path == CHECKOUT / path and f"def {name}(" in each.source]
    namespace: dict[str, object] = {}
    code = compile("\n" * (example.line) + example.source, str(example.path), "exec")
    exec(code, namespace)
    function = namespace[name]
    assert callable(function)
    return function
