"""A cluster that later sessions take up: the same nodes, rid of what the one before left, and held by one at a time."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import docker
import pytest

from pytest_swarm import cleanup

pytestmark = pytest.mark.cluster

LOOKS = """
    def test_it(swarm):
        print("run", swarm.owner.run, "services", len(swarm.api.services()), "ready", swarm.boot_times.total > 0)
        swarm.api.create_service({"ContainerSpec": {"Image": "left:1"}}, name="left")
"""
SEEN = re.compile(r"run (\w+) services (\d+) ready (\w+)")


@pytest.fixture
def name(swarm_host: docker.DockerClient) -> Iterator[str]:
    """A name of its own; what came of it is removed."""
    own = f"test-{secrets.token_hex(4)}"
    before = {owner.run for owner in cleanup.find_dead_owners(swarm_host)}
    yield own
    new = {owner.run for owner in cleanup.find_dead_owners(swarm_host)} - before
    assert new
    assert cleanup.main(sorted(new)) == 0


def look(pytester: pytest.Pytester, name: str, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-s", "--swarm-nodes=1", f"--swarm-reuse={name}", *arguments)


def test_a_cluster_is_booted_once_and_taken_up_by_its_name(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(LOOKS)

    first, second = (look(pytester, name) for _ in range(2))

    for result in (first, second):
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["the cluster was kept; *"])
    booted, taken_up = (SEEN.search(result.stdout.str()) for result in (first, second))
    assert booted is not None
    assert taken_up is not None
    assert booted[1] == taken_up[1]
    assert (booted[2], booted[3]) == ("0", "True")
    assert (taken_up[2], taken_up[3]) == ("0", "False")

    other = look(pytester, name, "--swarm-managers=1", "--swarm-nodes=2")
    other.assert_outcomes(errors=1)
    other.stdout.fnmatch_lines([f"--swarm-reuse is '{name}': the cluster {name} has nodes 1 instead of 2: *"])
