"""Whom a load asks while tasks come and go."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load_settings import Targets as Wanted
from pytest_swarm.load_targets import FILE_NAME, LoadTargets
from pytest_swarm.observer import Follower
from pytest_swarm.service import Service
from workloads.locustfiles.targets import Targets

NODES = {"n1": "id1", "n2": "id2", "n3": "id3"}


def task(number: int, state: str = "running", desired: str = "running") -> dict[str, Any]:
    return {"NodeID": f"id{number}", "Status": {"State": state}, "DesiredState": desired}


class Place:
    """Three nodes and a service with these tasks; what follows it is told by the test."""

    def __init__(self, *tasks: dict[str, Any], mode: str = "host") -> None:
        self.nodes = [SimpleNamespace(name=name, address=f"10.0.0.{name[1]}") for name in NODES]
        self.engine = SimpleNamespace(publish_mode=lambda: mode)
        self.published_ports = [8080]
        self.followers: list[Follower] = []
        self.observer = SimpleNamespace(follow=self.followers.append, unfollow=lambda follower: self.followers.clear())
        self._tasks = list(tasks)

    def node_ids(self) -> dict[str, str]:
        return NODES

    def node(self, name: str) -> SimpleNamespace:
        return next(node for node in self.nodes if node.name == name)

    def tasks(self) -> list[dict[str, Any]]:
        return self._tasks

    def targets(self, wanted: Wanted) -> LoadTargets:
        return LoadTargets(cast(Cluster, self), cast(Service, self), wanted)

    def tell(self, *tasks: dict[str, Any]) -> None:
        for follower in self.followers:
            follower(tasks)


@pytest.mark.parametrize(
    ("wanted", "hosts"),
    [("one-node", "1"), ("all-nodes", "123"), ("task-nodes", "2"), (("n3", "n1"), "31")],
)
def test_behind_a_mesh_nodes_are_asked_as_was_said(wanted: Wanted, hosts: str, tmp_path: Path) -> None:
    place = Place(task(2), mode="ingress")
    targets = place.targets(wanted)
    targets.start(tmp_path)
    assert targets.current == [f"10.0.0.{host}:8080" for host in hosts]
    assert bool(place.followers) == (wanted == "task-nodes")
    targets.stop()


def test_on_host_ports_the_tasks_are_followed(tmp_path: Path) -> None:
    place = Place(task(1), task(2))
    targets = place.targets("all-nodes")
    targets.start(tmp_path)
    asked = Targets(tmp_path / FILE_NAME)
    assert [asked.next() for _ in range(3)] == [("10.0.0.1", 8080), ("10.0.0.2", 8080), ("10.0.0.1", 8080)]

    # One is about to be stopped, one is not running yet.
    place.tell(task(1), task(2, desired="shutdown"), task(3, state="starting"))
    assert {asked.next() for _ in range(4)} == {("10.0.0.1", 8080)}

    place.tell(task(1), task(2, "shutdown", "shutdown"), task(3))
    assert {asked.next() for _ in range(4)} == {("10.0.0.1", 8080), ("10.0.0.3", 8080)}


def test_with_no_task_left_the_last_ones_are_asked_on(tmp_path: Path) -> None:
    place = Place(task(2))
    place.targets("all-nodes").start(tmp_path)
    place.tell(task(2, "shutdown", "shutdown"))
    assert (tmp_path / FILE_NAME).read_text() == "10.0.0.2:8080"


def test_of_nodes_that_were_named_no_others_are_asked(tmp_path: Path) -> None:
    place = Place(task(1), task(2))
    place.targets(("n1", "n3")).start(tmp_path)
    assert (tmp_path / FILE_NAME).read_text() == "10.0.0.1:8080"
    place.tell(task(2), task(3))
    assert (tmp_path / FILE_NAME).read_text() == "10.0.0.3:8080"


def test_after_the_load_nothing_is_written(tmp_path: Path) -> None:
    place = Place(task(1))
    targets = place.targets("all-nodes")
    targets.start(tmp_path)
    (in_flight,) = place.followers
    targets.stop()
    assert not place.followers
    in_flight([task(2)])
    assert (tmp_path / FILE_NAME).read_text() == "10.0.0.1:8080"
