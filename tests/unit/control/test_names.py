"""Which names a state gives to which node."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.control.names import common_names, names_for
from orchestrator.control.network_configuration import configuration_for
from orchestrator.control.withdrawal import NAMES_REST_S, reconcile
from orchestrator.model.container import ContainerSpec, DNSConfig
from orchestrator.model.names import TTL_S, NameClient, NamedService, NetworkNames
from orchestrator.model.network import Network
from orchestrator.model.node import NodeState
from orchestrator.model.service import EndpointMode, EndpointSpec, NetworkReference, Service
from orchestrator.model.task import EndpointState, NetworkAttachment, Task, TaskState, TaskStatus
from orchestrator.state.actions import (
    ConfirmWithdrawal,
    CreateNetwork,
    ReleaseEndpoint,
    ReportTaskStatus,
    SetDesiredState,
)
from tests.builders import Scene, a_node, a_spec

NET = Network("net1", "webnet", "10.0.1.0/24", 4097)
MESH = Network("mesh", "ingress", "10.0.0.0/24", 4096, ingress=True)


class Named(Scene):
    """Two nodes on `webnet`, with services whose tasks the test puts where it wants them."""

    def __init__(self) -> None:
        gateways = (("mesh", "10.0.0.2"), ("net1", "10.0.1.2"))
        super().__init__([a_node("n1", gateways=gateways), a_node("n2", gateways=gateways[:1])])
        self.apply(CreateNetwork(MESH), CreateNetwork(NET))

    def service(
        self, name: str = "web", *, mode: EndpointMode = EndpointMode.VIP, labels: Mapping[str, str] | None = None
    ) -> Service:
        spec = a_spec(name, networks=(NetworkReference("net1", ("alias",)),), labels=labels or {})
        service = self.create(replace(spec, endpoint=EndpointSpec(mode)))
        with self.state.transaction():
            virtual = (("mesh", "10.0.0.200/24"), ("net1", "10.0.1.200/24"))
            self.state.put_service(replace(service, virtual_addresses=virtual))
        return self.state.service(service.id)

    def task(self, service: Service, number: int, *, node: str = "n1", **fields: Any) -> Task:
        attachments = (
            NetworkAttachment("mesh", f"10.0.0.{number}"),
            NetworkAttachment("net1", f"10.0.1.{number}", ("alias", "own")),
        )
        task = Task(f"task{number}", service.id, service.name, number, service.spec.task, 0, node_id=node)
        task = replace(task, attachments=attachments, status=TaskStatus(TaskState.RUNNING))
        task = replace(task, endpoint=EndpointState.SERVING, labels=service.spec.labels)
        with self.state.transaction():
            self.state.put_task(replace(task, **fields))
        return self.state.task(task.id)

    @property
    def names(self) -> NetworkNames:
        return common_names(self.state)["net1"]


def test_a_service_is_its_virtual_address_and_its_serving_tasks() -> None:
    scene = Named()
    web = scene.service()
    for number in (5, 4):
        scene.task(web, number)
    assert scene.names.services == (NamedService("web", "10.0.1.200", ("10.0.1.4", "10.0.1.5"), ("alias",)),)
    assert [(task.name, task.aliases) for task in scene.names.tasks] == [
        ("web.4.task4", ("own",)),
        ("web.5.task5", ("own",)),
    ]


def test_round_robin_has_no_virtual_address() -> None:
    scene = Named()
    scene.service(mode=EndpointMode.DNSRR)
    assert scene.names.services == (NamedService("web", "", (), ("alias",)),)


@pytest.mark.parametrize(
    "fields",
    [
        {"endpoint": EndpointState.ABSENT},
        {"endpoint": EndpointState.WITHDRAWING},
        {"endpoint": EndpointState.DRAINING},
        {"endpoint": EndpointState.RELEASED},
    ],
)
def test_only_what_serves_is_named_by_the_service(fields: dict[str, EndpointState]) -> None:
    scene = Named()
    scene.task(scene.service(), 4, **fields)
    assert scene.names.services[0].addresses == ()
    assert all(not task.aliases for task in scene.names.tasks)


def test_tasks_of_a_node_that_is_down_are_not_named() -> None:
    scene = Named()
    scene.task(scene.service(), 4)
    with scene.state.transaction():
        scene.state.put_node(replace(scene.state.node("n1"), state=NodeState.DOWN))
    assert scene.names.services[0].addresses == ()


def test_a_leaving_task_keeps_its_reverse_name_until_it_is_released() -> None:
    scene = Named()
    web = scene.service()
    scene.task(web, 4, endpoint=EndpointState.DRAINING)
    scene.task(web, 5, endpoint=EndpointState.RELEASED)
    assert [(task.name, task.is_leaving) for task in scene.names.tasks] == [("web.4.task4", True)]


CONTAINER_ID = "0123456789abcdef0123456789abcdef"


def hostnames(scene: Named) -> list[tuple[str, ...]]:
    return [task.hostnames for task in scene.names.tasks]


@pytest.mark.parametrize("endpoint", [EndpointState.ABSENT, EndpointState.SERVING])
def test_a_container_is_found_by_what_it_calls_itself_before_it_serves(endpoint: EndpointState) -> None:
    scene = Named()
    container = ContainerSpec("x", hostname="db-{{.Task.Slot}}")
    web = scene.service()
    spec = replace(web.spec.task, container=container)
    status = TaskStatus(TaskState.STARTING, container_id=CONTAINER_ID)
    scene.task(web, 4, spec=spec, status=status, endpoint=endpoint)
    scene.task(web, 5, status=status, endpoint=endpoint)
    assert hostnames(scene) == [("0123456789ab", "db-4"), ("0123456789ab",)]


def test_without_a_container_there_is_nothing_to_call_itself() -> None:
    scene = Named()
    web = scene.service()
    container = ContainerSpec("x", hostname="{{.No.Such}}")
    status = TaskStatus(TaskState.PREPARING)
    scene.task(web, 4, spec=replace(web.spec.task, container=container), status=status, endpoint=EndpointState.ABSENT)
    assert hostnames(scene) == [()]


def test_the_revision_that_knows_a_container_has_its_names() -> None:
    scene = Named()
    scene.task(scene.service(), 4, status=TaskStatus(TaskState.PREPARING), endpoint=EndpointState.ABSENT)
    before = scene.state.network_revision
    ready = TaskStatus(TaskState.READY, container_id=CONTAINER_ID)
    scene.apply(ReportTaskStatus("task4", ready))
    assert hostnames(scene) == [("0123456789ab",)]
    assert scene.state.network_revision > before
    known = scene.state.network_revision
    scene.apply(ReportTaskStatus("task4", replace(ready, state=TaskState.STARTING)))
    assert scene.state.network_revision == known


def test_a_container_on_the_mesh_alone_has_no_names_to_be_told_of() -> None:
    scene = Named()
    on_mesh = (NetworkAttachment("mesh", "10.0.0.4"),)
    preparing = TaskStatus(TaskState.PREPARING)
    scene.task(scene.service(), 4, status=preparing, endpoint=EndpointState.ABSENT, attachments=on_mesh)
    before = scene.state.network_revision
    scene.apply(ReportTaskStatus("task4", TaskStatus(TaskState.READY, container_id=CONTAINER_ID)))
    assert scene.state.network_revision == before


def test_a_node_gets_the_networks_it_carries_and_its_own_askers() -> None:
    scene = Named()
    web = scene.service()
    container = ContainerSpec("x", dns=DNSConfig(("9.9.9.9",)))
    scene.task(web, 4, spec=replace(web.spec.task, container=container))
    scene.task(web, 5, node="n2")
    (names,) = configuration_for(scene.state, "n1").names
    assert names.clients == (NameClient("task4", "10.0.1.4", ("9.9.9.9",)),)
    assert len(names.tasks) == 2
    assert names_for(scene.state, scene.state.node("n2")) == ()


@pytest.mark.parametrize(
    ("networks", "is_confined"), [(("inner",), True), (("inner", "net1"), False), (("inner", "mesh"), False)]
)
def test_a_task_is_confined_where_all_its_networks_are_internal(networks: tuple[str, ...], is_confined: bool) -> None:
    scene = Named()
    scene.apply(CreateNetwork(Network("inner", "inner", "10.0.2.0/24", 4098, internal=True)))
    attachments = tuple(NetworkAttachment(network_id, f"10.0.{n}.5") for n, network_id in enumerate(networks))
    scene.task(scene.service(), 5, attachments=attachments)
    node = replace(scene.state.node("n1"), gateways=(("inner", "10.0.2.2"),))
    (names,) = names_for(scene.state, node)
    assert names.clients == (NameClient("task5", "10.0.0.5", is_confined=is_confined),)


def test_the_meshs_own_network_has_no_names() -> None:
    scene = Named()
    scene.task(scene.service(), 4)
    assert list(common_names(scene.state)) == ["net1"]


def test_the_revision_that_withdraws_a_task_has_it_out_of_the_names() -> None:
    scene = Named()
    scene.task(scene.service(), 4)
    before = configuration_for(scene.state, "n1")
    scene.apply(SetDesiredState("task4", TaskState.SHUTDOWN))
    after = configuration_for(scene.state, "n1")
    assert after.revision > before.revision
    assert before.names[0].services[0].addresses == ("10.0.1.4",)
    assert after.names[0].services[0].addresses == ()


def withdrawn(scene: Named, **labels: str) -> None:
    """A task whose withdrawal every node has acknowledged, now."""
    scene.task(scene.service(labels=labels), 4)
    scene.apply(SetDesiredState("task4", TaskState.SHUTDOWN))
    scene.hear()
    assert reconcile(scene.situation).actions == (ConfirmWithdrawal("task4"),)
    scene.apply(ConfirmWithdrawal("task4"))


def test_a_task_with_names_rests_longer_than_an_answer_lives() -> None:
    scene = Named()
    withdrawn(scene)
    confirmed = scene.now
    assert reconcile(scene.situation).actions == ()
    assert reconcile(scene.situation).wake_at == confirmed + NAMES_REST_S
    # Resolvers that count in whole seconds keep an answer up to a second longer.
    assert NAMES_REST_S > TTL_S + 1.0
    scene.now = confirmed + NAMES_REST_S
    assert reconcile(scene.situation).actions == (ReleaseEndpoint("task4"),)


def test_even_one_that_is_not_to_drain() -> None:
    scene = Named()
    withdrawn(scene, **{"swarm.drain": "off"})
    assert reconcile(scene.situation).actions == ()
    scene.now += NAMES_REST_S
    assert reconcile(scene.situation).actions == (ReleaseEndpoint("task4"),)


def test_a_service_that_asks_for_no_withdrawal_does_not_rest() -> None:
    scene = Named()
    scene.task(scene.service(labels={"swarm.withdraw": "off"}), 4)
    scene.apply(SetDesiredState("task4", TaskState.SHUTDOWN))
    scene.hear()
    scene.apply(ConfirmWithdrawal("task4"))
    assert reconcile(scene.situation).actions == (ReleaseEndpoint("task4"),)


def test_the_rest_is_over_before_open_connections_are() -> None:
    scene = Named()
    withdrawn(scene)
    scene.now += NAMES_REST_S
    scene.hear("n1", flows=(("task4", 1),))
    plan = reconcile(scene.situation)
    assert (plan.actions, plan.wake_at) == ((), scene.state.task("task4").withdrawn_at + 60.0)
