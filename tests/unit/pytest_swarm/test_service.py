"""A change of a service gets through to a cluster that is changing its leader."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError

from pytest_swarm.service import Service
from pytest_swarm.service_spec import Deployment

NO_LEADER = APIError("503", explanation="rpc error: code = Unknown desc = The swarm does not have a leader. ...")
STALE = APIError("500", explanation="rpc error: code = Unknown desc = update out of sequence")


class Manager:
    """A manager that answers changes of its one service with these errors first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.changes = 0

    def inspect_service(self, identity: str) -> dict[str, Any]:
        return {
            "ID": identity,
            "Version": {"Index": 7},
            "Spec": {"TaskTemplate": {}, "Mode": {"Replicated": {"Replicas": 1}}},
        }

    def tasks(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        return []

    def update_service(self, identity: str, version: int, **arguments: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.changes += 1


def service_of(manager: Manager) -> Service:
    cluster: Any = SimpleNamespace(api=manager, operations=[])
    deployment = Deployment(image="web:1", name="web", replicas=1, publish={}, publish_mode="ingress")
    service = Service(cluster, "service", deployment)
    service.stop_watching()
    return service


def put(service: Service) -> None:
    """Write the service as it is."""
    service._submit(functools.partial(service._put, lambda spec: spec), timeout=5.0)


@pytest.mark.parametrize("error", [NO_LEADER, STALE, ConnectionRefusedError("the manager was killed")])
def test_a_change_is_tried_again_while_it_may_pass(error: Exception) -> None:
    manager = Manager(error, error)

    put(service_of(manager))

    assert manager.changes == 1


def test_a_change_that_is_refused_is_not_tried_again() -> None:
    manager = Manager(APIError("400", explanation="invalid mount config"))

    with pytest.raises(APIError):
        put(service_of(manager))

    assert manager.changes == 0
