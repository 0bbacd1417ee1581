"""Removing what a run made while others are at it, with an engine that is nothing but its answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
from docker.errors import APIError, NotFound

from pytest_swarm import cleanup
from pytest_swarm.ownership import LABEL, Owner

DEAD = Owner("0badcafe", 1, 0, "an earlier boot")


class Engine:
    """Has one container, one network and one volume of a dead run; `errors` are raised by what would remove them."""

    def __init__(self, **errors: Exception) -> None:
        self.api = self
        self.closed = False
        self.inspected = 0
        self._errors = errors

    def containers(self, **_: object) -> list[dict[str, Any]]:
        return [{"Id": "c", "Names": ["/swarm-n1"], "Labels": DEAD.labels}]

    def networks(self, **_: object) -> list[dict[str, Any]]:
        return [{"Id": "n", "Name": "swarm", "Labels": DEAD.labels}]

    def volumes(self, **_: object) -> dict[str, Any]:
        return {"Volumes": [{"Name": "v", "Labels": {LABEL: DEAD.label}}]}

    def remove_container(self, *_: object, **__: object) -> None:
        self._raise("container")

    def remove_network(self, *_: object) -> None:
        self._raise("network")

    def remove_volume(self, *_: object, **__: object) -> None:
        self._raise("volume")

    def inspect_container(self, *_: object) -> dict[str, Any]:
        self.inspected += 1
        if self.inspected > 2:
            raise NotFound("404 Client Error")
        return {}

    def close(self) -> None:
        self.closed = True

    def _raise(self, kind: str) -> None:
        if kind in self._errors:
            raise self._errors[kind]


def refusal(status: int, explanation: str) -> APIError:
    return APIError("error", response=cast(Any, SimpleNamespace(status_code=status)), explanation=explanation)


def test_what_others_have_removed_is_no_error() -> None:
    gone = NotFound("404 Client Error")
    engine = Engine(container=gone, network=gone, volume=gone)

    removed = cleanup.remove_owned(cast(docker.DockerClient, engine), DEAD)

    assert removed == ["container swarm-n1", "network swarm", "volume v"]


def test_a_removal_by_others_is_waited_for() -> None:
    engine = Engine(container=refusal(409, "removal of container c is already in progress"))

    cleanup.remove_owned(cast(docker.DockerClient, engine), DEAD)

    assert engine.inspected == 3


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(network=refusal(403, "network swarm has active endpoints"))
    monkeypatch.setattr(cleanup, "connect_host", lambda: engine)

    assert cleanup.main([]) == 1

    assert capsys.readouterr().err == (
        "pytest-swarm-cleanup: run 0badcafe is not all gone: network swarm has active endpoints\n"
    )
    assert engine.closed
