"""Managers whose keys are locked: what a restarted one says, what goes on meanwhile, and how it comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.command_line import Answer, command, docker, succeed

pytestmark = pytest.mark.cluster

LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)


@pytest.fixture(autouse=True)
def _never_locked_afterwards(swarm: Cluster) -> Iterator[None]:
    yield
    key = succeed(swarm.leader, "swarm", "unlock-key", "--quiet") if is_locked_by_setting(swarm) else ""
    for node in swarm.nodes:
        if key and state_of(node) == "locked":
            unlock(node, key)
    succeed(swarm.leader, "swarm", "update", "--autolock=false")


def is_locked_by_setting(swarm: Cluster) -> bool:
    return "Autolock Managers: true" in succeed(swarm.leader, "info")


def state_of(node: Node) -> str:
    return docker(node, "info", "--format", "{{.Swarm.LocalNodeState}}").output.strip()


def wait_state(node: Node, wanted: str) -> None:
    def look() -> Done[None] | NotYet:
        state = state_of(node)
        return Done(None) if state == wanted else NotYet(f"{node.name} is {state!r}")

    wait_until(look, what=f"{node.name} to be {wanted}", timeout=30)


def restart(node: Node) -> None:
    """Kill the node's swarmd; what runs as process 1 starts it again."""
    assert command(node, "pkill", "-KILL", "-f", "^python3 -m orchestrator").status == 0


def unlock(node: Node, key: str) -> Answer:
    """As a user does who is asked for the key."""
    return command(node, "sh", "-c", f"echo '{key}' | docker swarm unlock")


def keys_on_disk(node: Node) -> list[str]:
    """Files of the node's daemon that hold a key or a token in clear."""
    found = command(node, "grep", "-rlaE", "PRIVATE KEY|SWMTKN-1-|SWMKEY-1-", "/var/lib/swarm")
    return found.output.split()


def follower_of(swarm: Cluster) -> Node:
    leader = swarm.leader
    managers = succeed(leader, "node", "ls", "--filter", "role=manager", "--format", "{{.Hostname}}").split()
    others = [node for node in swarm.nodes if node.name in managers and node.name != leader.name]
    if not others:
        pytest.skip("one manager alone has nobody to go on while it is locked")
    return others[0]


def test_a_restarted_manager_is_locked_until_it_gets_the_key(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    node = follower_of(swarm)
    web = deploy(replicas=3)
    assert "no unlock key is set" in docker(swarm.leader, "swarm", "unlock-key", "--quiet").error
    answer = succeed(swarm.leader, "swarm", "update", "--autolock=true")
    key = succeed(swarm.leader, "swarm", "unlock-key", "--quiet")
    assert key.startswith("SWMKEY-1-")
    assert key in answer

    def sealed() -> Done[None] | NotYet:
        clear = keys_on_disk(node)
        return NotYet(f"in clear: {clear}") if clear else Done(None)

    wait_until(sealed, what="the keys to be sealed", timeout=10)
    with load(web, requests=150) as run:
        restart(node)
        wait_state(node, "locked")
        refused = docker(node, "node", "ls")
        assert (refused.status, LOCKED in refused.error) == (1, True), refused
        wrong = unlock(node, "SWMKEY-1-" + "A" * 43)
        assert "swarm could not be unlocked: invalid key provided" in wrong.error
        assert state_of(node) == "locked"
        assert unlock(node, key).status == 0
        wait_state(node, "active")
        assert "swarm is not locked" in unlock(node, key).error.lower()
    assert run.lost == 0, run.explain()
    swarm.wait_ready()


def test_the_key_is_changed_and_the_lock_is_taken_away(swarm: Cluster) -> None:
    node = follower_of(swarm)
    succeed(swarm.leader, "swarm", "update", "--autolock=true")
    first = succeed(swarm.leader, "swarm", "unlock-key", "--quiet")
    second = succeed(swarm.leader, "swarm", "unlock-key", "--quiet", "--rotate")
    assert first != second

    def takes(key: str) -> Done[None] | NotYet:
        restart(node)
        wait_state(node, "locked")
        return Done(None) if unlock(node, key).status == 0 else NotYet("the key is refused")

    wait_until(lambda: takes(second), what="the new key to count", timeout=60)
    wait_state(node, "active")
    succeed(swarm.leader, "swarm", "update", "--autolock=false")

    def open_again() -> Done[None] | NotYet:
        return Done(None) if keys_on_disk(node) else NotYet("still sealed")

    wait_until(open_again, what="the keys to be in clear again", timeout=10)
    restart(node)
    wait_state(node, "active")
    swarm.wait_ready()
