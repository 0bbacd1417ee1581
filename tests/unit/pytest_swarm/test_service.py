"""A change of a service gets through to a cluster that is changing its leader."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError
from requests import Response

from pytest_swarm.conditions import OperationFailed
from pytest_swarm.phases import images_in_service
from pytest_swarm.service import Service
from pytest_swarm.service_spec import Deployment

NO_LEADER = APIError("503", explanation="rpc error: code = Unknown desc = The swarm does not have a leader. ...")
STALE = APIError("500", explanation="rpc error: code = Unknown desc = update out of sequence")

MODE = {"Replicated": {"Replicas": 0}}
REFUSED = APIError("400", explanation="invalid mount config")


class Manager:
    """A manager that answers changes of its one service with these errors first."""

    base_url, api_version, timeout = "http://manager", "1.45", 60.0

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.changes = 0
        self.image = "web:1"
        self.sent: dict[str, Any] = {}

    def inspect_service(self, identity: str) -> dict[str, Any]:
        return {
            "ID": identity,
            "Version": {"Index": 7},
            "Spec": {"TaskTemplate": {"ContainerSpec": {"Image": self.image}}, "Mode": MODE},
            "PreviousSpec": {"TaskTemplate": {"ContainerSpec": {"Image": "web:1"}}, "Mode": MODE},
        }

    def nodes(self) -> list[dict[str, Any]]:
        return []

    def tasks(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        return []

    def post(self, url: str, *, params: dict[str, Any], json: dict[str, Any], timeout: float) -> Response:
        assert url == "http://manager/v1.45/services/service/update"
        assert params["version"] == 7
        try:
            self._change()
        except APIError as error:
            return answer(int(error.args[0]), {"message": error.explanation})
        self.sent = json
        self.image = json["TaskTemplate"]["ContainerSpec"]["Image"]
        return answer(200, {"Warnings": None})

    def remove_service(self, identity: str) -> None:
        self._change()

    def _change(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.changes += 1


def answer(status: int, body: dict[str, Any]) -> Response:
    response = Response()
    response.status_code = status
    response.raw = io.BytesIO(json.dumps(body).encode())
    return response


def service_of(manager: Manager, forgotten: list[Service] | None = None) -> Service:
    forget = (forgotten if forgotten is not None else []).append
    cluster: Any = SimpleNamespace(api=manager, operations=[], nodes=(), forget=forget)
    deployment = Deployment(image="web:1", name="web", replicas=1, publish={}, publish_mode="ingress")
    service = Service(cluster, "service", deployment)
    service.stop_watching()
    return service


@pytest.mark.parametrize("error", [NO_LEADER, STALE, ConnectionRefusedError("the manager was killed")])
def test_a_change_is_tried_again_while_it_may_pass(error: Exception) -> None:
    manager = Manager(error, error)

    service_of(manager).scale(0)

    assert manager.changes == 1


def test_a_change_that_is_refused_is_not_tried_again() -> None:
    manager = Manager(REFUSED)

    with pytest.raises(APIError, match="invalid mount config"):
        service_of(manager).scale(0)

    assert manager.changes == 0


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    """A default that is filled in would be a change of every task to Docker's swarm mode."""
    manager = Manager()

    service_of(manager).scale(0)

    assert manager.sent == manager.inspect_service("service")["Spec"]


def test_two_versions_have_to_answer_only_where_the_image_was_another() -> None:
    service = service_of(Manager())

    assert not service.update("web:1", force=True).images
    assert service.update("web:2").images == ("web:1", "web:2")
    assert not service.scale(0).images


def test_an_update_that_fails_is_an_operation_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_of(Manager())

    def fail(*_: object, **__: object) -> None:
        raise OperationFailed("the update ended as paused: it broke")

    monkeypatch.setattr(service, "wait_converged", fail)
    with pytest.raises(OperationFailed):
        service.update("web:2")

    (operation,) = service.cluster.operations
    assert (operation.name, operation.has_failed) == ("failed update", True)
    assert images_in_service([operation]) == set()


def test_a_service_is_removed_once_there_is_a_leader_again() -> None:
    manager = Manager(NO_LEADER)
    forgotten: list[Service] = []
    service = service_of(manager, forgotten)

    service.remove()

    assert manager.changes == 1
    assert forgotten == [service]


def test_a_service_that_could_not_be_removed_is_not_forgotten() -> None:
    forgotten: list[Service] = []
    service = service_of(Manager(REFUSED), forgotten)

    with pytest.raises(APIError):
        service.remove()

    assert forgotten == []
