"""Full id, then exact name, then a unique beginning of an id."""

import pytest

from orchestrator.api.errors import BadRequest, ObjectNotFound
from orchestrator.api.lookup import find_node, find_service
from orchestrator.model.container import ContainerSpec
from orchestrator.model.service import Service, ServiceSpec, TaskSpec
from orchestrator.state.actions import CreateService
from orchestrator.testing.cluster_backend import add_node, cluster_of_one


def test_services() -> None:
    backend = cluster_of_one()
    for service_id, name in (("abc1", "web"), ("abd2", "abc1x"), ("xyz3", "ab")):
        spec = ServiceSpec(name, TaskSpec(ContainerSpec("nginx")))
        backend.apply(CreateService(Service(service_id, spec, 0)))
    assert find_service(backend.state, "abc1").name == "web"
    assert find_service(backend.state, "ab").id == "xyz3"
    assert find_service(backend.state, "abc").id == "abc1"
    assert find_service(backend.state, "web").id == "abc1"
    with pytest.raises(BadRequest, match=r"^service a is ambiguous \(2 matches found\)$"):
        find_service(backend.state, "a")
    for absent in ("nope", ""):
        with pytest.raises(ObjectNotFound, match=rf"^service {absent} not found$"):
            find_service(backend.state, absent)


def test_two_nodes_of_one_hostname_are_ambiguous() -> None:
    backend = cluster_of_one()
    add_node(backend, "twin")
    add_node(backend, "twin")
    assert find_node(backend.state, "n1").id == backend.leader_node_id
    with pytest.raises(BadRequest, match=r"^node twin is ambiguous \(2 matches found\)$"):
        find_node(backend.state, "twin")
