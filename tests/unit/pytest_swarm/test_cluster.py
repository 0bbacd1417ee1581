"""What a test did to the shared cluster is undone to the last piece, whatever breaks on the way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_swarm.boot import Booted, BootTimes
from pytest_swarm.cluster import Cluster


class Service:
    """A service of a cluster that may refuse to go."""

    def __init__(self, name: str, deeds: list[str], refuses: bool = False) -> None:
        self._name = name
        self._deeds = deeds
        self._refuses = refuses

    def remove(self) -> None:
        self._deeds.append(f"removed {self._name}")
        if self._refuses:
            raise RuntimeError(f"{self._name} does not go")


class Bench(Cluster):
    """A cluster of three nodes, of which n1 is active; `deeds` is what was done to it."""

    def __init__(self) -> None:
        self.deeds: list[str] = []
        nodes = [_node("n1", "active"), _node("n2", "drain"), _node("n3", "pause")]
        client = SimpleNamespace(api=SimpleNamespace(nodes=lambda: nodes))
        plan: Any = SimpleNamespace(host=None, owner=None, directory=None, engine=None, image="node:1", managers=1)
        node: Any = SimpleNamespace(name="n1", client=client, is_down=False)
        network: Any = None
        booted = Booted((node,), network, BootTimes(0.0, 0.0, 0.0, 0.0), "26.1.5")
        super().__init__(plan, booted, SimpleNamespace())  # type: ignore[arg-type]

    def deploy_fake(self, name: str, *, refuses: bool = False) -> Any:
        service: Any = Service(name, self.deeds, refuses)
        self._services.append(service)
        return service

    def activate(self, name: str, *, timeout: float = 0.0) -> None:
        self.deeds.append(f"activated {name}")
        if name == "n2":
            raise RuntimeError("n2 stays away")


def _node(name: str, availability: str) -> dict[str, Any]:
    return {"Spec": {"Availability": availability}, "Description": {"Hostname": name}}


def test_everything_is_undone_even_when_parts_fail() -> None:
    cluster = Bench()
    cluster.deploy_fake("first", refuses=True)
    cluster.deploy_fake("second")

    with pytest.raises(ExceptionGroup) as caught:
        cluster.reset()

    assert cluster.deeds == ["removed first", "removed second", "activated n2", "activated n3"]
    removal, activation = caught.value.exceptions
    assert str(removal) == "first does not go"
    assert isinstance(activation, ExceptionGroup)
    assert [str(each) for each in activation.exceptions] == ["n2 stays away"]


def test_services_of_wider_fixtures_stay() -> None:
    cluster = Bench()
    wide = cluster.deploy_fake("wide")
    cluster.deploy_fake("narrow")

    with pytest.raises(ExceptionGroup, match="could not be reset"):
        cluster.reset(keep={wide})

    assert cluster.deeds[0] == "removed narrow"
    assert "removed wide" not in cluster.deeds
