"""Networks, addresses and ports."""

from dataclasses import replace

import pytest

from orchestrator.control.allocator import allocator
from orchestrator.control.allocator.networks import free_subnet, free_vni
from orchestrator.control.slots import new_task
from orchestrator.model.cluster import Cluster
from orchestrator.model.network import Network
from orchestrator.model.service import EndpointMode, EndpointSpec, PortConfig, PublishMode, Service, ServiceSpec
from orchestrator.model.task import Task, TaskState
from orchestrator.state.actions import (
    AllocateTask,
    AssignTask,
    CreateTask,
    RemoveService,
    SetDesiredState,
    UpdateService,
)
from tests.builders import Scene, a_node, a_spec

WEB = (PortConfig(80, 8080),)


def settle(scene: Scene) -> None:
    for _ in range(20):
        plan = allocator.reconcile(scene.situation)
        if not plan.actions:
            return
        scene.apply(*plan.actions)
    raise AssertionError("the allocator never rests")


def a_scene(nodes: int = 2, spec: ServiceSpec | None = None) -> tuple[Scene, Service]:
    scene = Scene([a_node(f"n{i}") for i in range(1, nodes + 1)])
    settle(scene)
    service = scene.create(spec or a_spec(ports=WEB))
    settle(scene)
    return scene, scene.state.service(service.id)


def a_task(scene: Scene, name: str) -> Task:
    task = new_task(scene.state.service("web-id"), 1, lambda: name)
    scene.apply(CreateTask(task))
    settle(scene)
    return scene.state.task(name)


def test_founding_makes_the_ingress_network_and_every_node_its_gateway() -> None:
    scene, _ = a_scene()
    ingress = scene.state.ingress
    assert ingress is not None
    assert (ingress.subnet, ingress.vni) == ("10.0.0.0/24", 4096)
    assert [node.gateways for node in scene.state.nodes.values()] == [
        ((ingress.id, "10.0.0.2"),),
        ((ingress.id, "10.0.0.3"),),
    ]


def test_open_ports_get_numbers_and_keep_them() -> None:
    spec = a_spec(ports=(PortConfig(80), PortConfig(81, 8081), PortConfig(82)))
    scene, service = a_scene(spec=spec)
    assert [port.published_port for port in service.ports] == [30000, 8081, 30001]
    endpoint = EndpointSpec(ports=(PortConfig(82), PortConfig(83)))
    scene.apply(UpdateService(service.id, service.version, replace(spec, endpoint=endpoint)))
    settle(scene)
    assert [port.published_port for port in scene.state.service(service.id).ports] == [30001, 30000]


def test_host_ports_left_open_are_the_engines_to_choose() -> None:
    _, service = a_scene(spec=a_spec(ports=(PortConfig(80, publish_mode=PublishMode.HOST),)))
    assert service.ports[0].published_port == 0
    assert service.virtual_addresses == ()


def test_a_service_in_the_mesh_has_a_virtual_address_there() -> None:
    scene, service = a_scene()
    assert scene.state.ingress is not None
    assert service.virtual_addresses == ((scene.state.ingress.id, "10.0.0.4/24"),)


def test_a_service_without_load_balancer_has_none() -> None:
    spec = replace(a_spec(), endpoint=EndpointSpec(EndpointMode.DNSRR))
    assert a_scene(spec=spec)[1].virtual_addresses == ()


def test_tasks_get_addresses_in_turn() -> None:
    scene, _ = a_scene()
    assert [a_task(scene, name).attachments[0].address for name in ("t1", "t2")] == ["10.0.0.5", "10.0.0.6"]


def test_a_service_without_published_ports_needs_no_address() -> None:
    scene, _ = a_scene(spec=a_spec())
    task = a_task(scene, "t1")
    assert (task.attachments, task.status.state) == ((), TaskState.PENDING)


def test_a_freed_address_rests_as_long_as_possible() -> None:
    scene, _ = a_scene()
    task = a_task(scene, "t1")
    scene.apply(AssignTask(task.id, "n1"))
    scene.report(task.id, TaskState.FAILED)
    assert a_task(scene, "t2").attachments[0].address == "10.0.0.6"


def test_an_address_is_not_given_twice_while_its_task_may_run() -> None:
    scene, _ = a_scene()
    first = a_task(scene, "t1")
    scene.apply(AssignTask(first.id, "n1"))
    scene.report(first.id, TaskState.RUNNING)
    scene.apply(SetDesiredState(first.id, TaskState.REMOVE))
    addresses = [a_task(scene, f"x{i}").attachments for i in range(249)]
    given = [attachments[0].address for attachments in addresses]
    assert len(set(given)) == 249
    assert first.attachments[0].address not in given


def test_a_full_network_leaves_the_task_new_with_a_reason_until_there_is_room() -> None:
    scene, _ = a_scene()
    for i in range(250):
        a_task(scene, f"x{i}")
    waiting = a_task(scene, "late")
    assert waiting.status.state is TaskState.NEW
    assert waiting.status.error.startswith("could not find an available IP address")
    scene.apply(AssignTask("x7", "n1"))
    scene.report("x7", TaskState.FAILED)
    settle(scene)
    assert scene.state.task("late").attachments == scene.state.task("x7").attachments


def test_ports_of_a_removed_service_are_free_again() -> None:
    scene, _ = a_scene(spec=a_spec(ports=(PortConfig(80),)))
    scene.apply(RemoveService("web-id"))
    scene.create(a_spec("next", ports=(PortConfig(80),)))
    settle(scene)
    assert scene.state.service("next-id").ports[0].published_port == 30000


@pytest.mark.parametrize(
    ("taken", "expected"),
    [((), "10.0.0.0/24"), (("10.0.0.0/24",), "10.0.1.0/24"), (("10.0.0.0/16",), "10.1.0.0/24")],
)
def test_free_subnet(taken: tuple[str, ...], expected: str) -> None:
    networks = [Network(f"id{i}", f"net{i}", subnet, 4096 + i) for i, subnet in enumerate(taken)]
    assert free_subnet(Cluster("c"), networks) == expected
    assert free_vni(networks) == 4096 + len(networks)


def test_no_subnet_when_the_pools_are_used_up() -> None:
    cluster = Cluster("c", default_address_pools=("10.5.0.0/24",))
    assert free_subnet(cluster, [Network("n", "n", "10.5.0.0/24", 4096)]) is None


def test_a_pool_smaller_than_a_subnet_is_passed_over() -> None:
    assert free_subnet(Cluster("c", default_address_pools=("10.20.0.0/25",)), ()) is None
    assert free_subnet(Cluster("c", default_address_pools=("10.20.0.0/25", "10.21.0.0/16")), ()) == "10.21.0.0/24"


def test_allocation_goes_with_the_batch_that_creates() -> None:
    scene, _ = a_scene()
    scene.apply(CreateTask(new_task(scene.state.service("web-id"), 1, lambda: "t1")))
    (allocate,) = allocator.reconcile(scene.situation).actions
    assert isinstance(allocate, AllocateTask)
