"""Networks of services: addresses, virtual addresses, nodes' shares; and what becomes of all of them at the end."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from orchestrator.control.allocator.addresses import AddressPool
from orchestrator.control.allocator.networks import attachment_prefix_length, free_subnet
from orchestrator.control.loop import PLANNERS, reconcile
from orchestrator.control.network_configuration import balanced_services, configuration_for, reached_services
from orchestrator.control.service_admission import admit_rollback
from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import AlreadyExists, FailedPrecondition, Forbidden, NotFound
from orchestrator.model.network import Network
from orchestrator.model.service import EndpointMode, EndpointSpec, NetworkReference, PortConfig, Service, ServiceSpec
from orchestrator.model.task import TaskState
from orchestrator.state.actions import (
    CreateNetwork,
    RemoveNetwork,
    RemoveService,
    RollbackService,
    SetDesiredState,
    UpdateService,
)
from tests.builders import Scene, a_node, a_spec


def a_network(name: str = "front", number: int = 1, **options: object) -> Network:
    return Network(f"{name}-id", name, f"10.1.{number}.0/24", 4100 + number, **options)  # type: ignore[arg-type]


def on(*networks: str, **options: object) -> ServiceSpec:
    references = tuple(NetworkReference(f"{name}-id") for name in networks)
    return a_spec(networks=references, **options)  # type: ignore[arg-type]


@pytest.fixture
def scene() -> Scene:
    scene = Scene([a_node("n1"), a_node("n2")])
    settle(scene)
    scene.apply(CreateNetwork(a_network()), CreateNetwork(a_network("back", 2)))
    return scene


def settle(scene: Scene) -> None:
    for _ in range(10):
        plan = reconcile(scene.situation, PLANNERS)
        if not plan.actions:
            return
        scene.apply(*plan.actions)
    raise AssertionError("the allocator does not come to rest")


def serve(scene: Scene, service: Service) -> None:
    """Settle, and let all tasks of the service run."""
    settle(scene)
    for task in scene.state.tasks_of_service(service.id):
        if task.is_live and task.status.state < TaskState.RUNNING:
            scene.report(task.id, TaskState.RUNNING)
    settle(scene)


def test_a_task_has_an_address_and_its_service_a_virtual_one_on_each_network(scene: Scene) -> None:
    service = scene.create(on("front", "back", ports=(PortConfig(80, 8080),)))
    settle(scene)
    given = scene.state.service(service.id).virtual_addresses
    assert [network_id for network_id, _ in given] == [scene.state.ingress.id, "front-id", "back-id"]  # type: ignore[union-attr]
    assert all(address.endswith("/24") for _, address in given)
    (task,) = scene.state.tasks_of_service(service.id)
    assert [attachment.network_id for attachment in task.attachments] == ["front-id", "back-id", given[0][0]]
    virtual = {network_id: address.partition("/")[0] for network_id, address in given}
    assert {a.network_id: a.virtual_address for a in task.attachments} == virtual


def test_by_name_alone_there_is_no_virtual_address(scene: Scene) -> None:
    service = scene.create(replace(on("front"), endpoint=EndpointSpec(EndpointMode.DNSRR)))
    serve(scene, service)
    assert scene.state.service(service.id).virtual_addresses == ()
    assert balanced_services(scene.state) == ()
    (reached,) = reached_services(scene.state)
    assert [endpoint.address_on("front-id") for endpoint in reached.endpoints] == [
        task.attachments[0].address for task in scene.state.tasks_of_service(service.id)
    ]


def test_only_nodes_with_tasks_carry_a_network_and_give_it_back(scene: Scene) -> None:
    service = scene.create(on("front"))
    serve(scene, service)
    (task,) = scene.state.tasks_of_service(service.id)
    carrying = [node.id for node in scene.state.nodes.values() if "front-id" in dict(node.gateways)]
    assert carrying == [task.node_id]
    configuration = configuration_for(scene.state, task.node_id)
    assert [network.name for network in configuration.networks] == ["front", "ingress"]
    scene.apply(RemoveService(service.id))
    scene.report(task.id, TaskState.SHUTDOWN)
    settle(scene)
    assert all("front-id" not in dict(node.gateways) for node in scene.state.nodes.values())


def test_every_node_carries_an_attachable_network_with_a_share_of_its_own(scene: Scene) -> None:
    scene.apply(CreateNetwork(a_network("open", 3, attachable=True)))
    service = scene.create(on("open", replicas=30))
    settle(scene)
    shares = [IPv4Network(dict(node.attachment_ranges)["open-id"]) for node in scene.state.nodes.values()]
    assert [str(share) for share in shares] == ["10.1.3.248/29", "10.1.3.240/29"]
    for task in scene.state.tasks_of_service(service.id):
        assert not any(IPv4Address(task.attachments[0].address) in share for share in shares)
    (attached,) = [n for n in configuration_for(scene.state, "n1").networks if n.network_id == "open-id"]
    assert (attached.attachable, attached.attachment_range) == (True, "10.1.3.248/29")


@pytest.mark.parametrize(
    ("subnet", "length"),
    [("10.0.0.0/16", 26), ("10.0.0.0/20", 26), ("10.0.0.0/24", 29), ("10.0.0.0/26", 29), ("10.0.0.0/28", 31)],
)
def test_shares_follow_the_size_of_the_subnet(subnet: str, length: int) -> None:
    assert attachment_prefix_length(subnet) == length


def shares_of(network: Network, nodes: int) -> list[str]:
    """What each of so many nodes gives to containers that are started by hand; empty where there is nothing."""
    scene = Scene([a_node(f"n{number}") for number in range(nodes)])
    settle(scene)
    scene.apply(CreateNetwork(network))
    settle(scene)
    return [dict(node.attachment_ranges).get(network.id, "") for node in scene.state.nodes.values()]


def test_shares_of_the_smallest_subnet_are_one_address_each_and_never_the_last() -> None:
    network = replace(a_network(attachable=True), subnet="10.1.3.0/29")
    assert shares_of(network, 2) == ["10.1.3.6/32", "10.1.3.5/32"]


def test_shares_are_of_the_users_range() -> None:
    network = a_network(attachable=True, address_range="10.1.1.64/26")
    assert shares_of(network, 2) == ["10.1.1.120/29", "10.1.1.112/29"]


def test_nobody_gets_what_the_user_keeps_or_leaves_the_users_range() -> None:
    reserved = (("nas", "10.1.1.133"),)
    network = a_network(gateway="10.1.1.130", address_range="10.1.1.128/29", reserved_addresses=reserved)
    scene = Scene([a_node("n1")])
    scene.apply(CreateNetwork(network))
    pool = AddressPool(scene.state, network)
    given = [pool.next() for _ in range(7)]
    assert given == [f"10.1.1.{number}" for number in (129, 131, 132, 134, 135, 128)] + [None]


def test_a_gateway_takes_no_address_that_a_task_had_just_now(scene: Scene) -> None:
    service = scene.create(on("front"))
    serve(scene, service)
    (task,) = scene.state.tasks_of_service(service.id)
    (attachment,) = task.attachments
    scene.report(task.id, TaskState.FAILED)
    settle(scene)
    gateways = [address for node in scene.state.nodes.values() for _, address in node.gateways]
    assert gateways
    assert attachment.address not in gateways


def test_gateways_leave_the_users_range_to_tasks() -> None:
    network = a_network(address_range="10.1.1.128/29")
    scene = Scene([a_node("n1")])
    scene.apply(CreateNetwork(network))
    pool = AddressPool(scene.state, network)
    assert [pool.next_gateway(), pool.next_gateway(), pool.next()] == ["10.1.1.2", "10.1.1.3", "10.1.1.129"]


def test_a_freed_address_rests_as_long_as_possible(scene: Scene) -> None:
    first = scene.create(on("front"))
    settle(scene)
    address = scene.state.service(first.id).virtual_addresses
    scene.apply(RemoveService(first.id))
    settle(scene)
    second = scene.create(on("front", name="other"))
    settle(scene)
    assert scene.state.service(second.id).virtual_addresses != address


def test_leaving_a_network_keeps_its_virtual_address_until_the_last_task_there_is_over(scene: Scene) -> None:
    service = scene.create(on("front", "back"))
    serve(scene, service)
    virtual = dict(balanced_services(scene.state)[0].virtual_addresses)
    assert sorted(virtual) == ["back-id", "front-id"]
    current = scene.state.service(service.id)
    scene.apply(UpdateService(service.id, current.version, on("front")))
    settle(scene)
    assert [key for key, _ in scene.state.service(service.id).virtual_addresses] == ["front-id"]
    (balanced,) = balanced_services(scene.state)
    assert dict(balanced.virtual_addresses) == virtual
    # Back before the old task is gone: its clients' address is the service's again.
    current = scene.state.service(service.id)
    scene.apply(UpdateService(service.id, current.version, on("front", "back")))
    settle(scene)
    given = {key: address.partition("/")[0] for key, address in scene.state.service(service.id).virtual_addresses}
    assert given == virtual


def test_tasks_learn_of_a_virtual_address_that_their_service_is_given_later(scene: Scene) -> None:
    service = scene.create(replace(on("front"), endpoint=EndpointSpec(EndpointMode.DNSRR)))
    serve(scene, service)
    current = scene.state.service(service.id)
    scene.apply(UpdateService(service.id, current.version, on("front")))
    settle(scene)
    (before,) = balanced_services(scene.state)
    assert before.virtual_addresses
    scene.apply(RemoveService(service.id))
    (after,) = balanced_services(scene.state)
    assert (after.virtual_addresses, after.draining) == (before.virtual_addresses, before.endpoints)


def test_a_removed_service_is_reached_by_its_address_while_it_drains(scene: Scene) -> None:
    service = scene.create(on("front"))
    serve(scene, service)
    (before,) = balanced_services(scene.state)
    scene.apply(RemoveService(service.id))
    (after,) = balanced_services(scene.state)
    assert (after.endpoints, after.virtual_addresses) == ((), before.virtual_addresses)
    assert after.draining == before.endpoints


def test_there_is_no_way_back_to_a_network_that_is_gone(scene: Scene) -> None:
    service = scene.create(on("back"))
    scene.apply(UpdateService(service.id, service.version, on("front")), RemoveNetwork("back-id"))
    with pytest.raises(NotFound, match="network back-id not found"):
        scene.apply(RollbackService(service.id))
    with pytest.raises(NotFound, match="network back-id not found"):
        admit_rollback(scene.state, scene.state.service(service.id))


def test_a_removed_network_is_carried_until_its_last_task_is_over(scene: Scene) -> None:
    service = scene.create(on("front"))
    serve(scene, service)
    (task,) = scene.state.tasks_of_service(service.id)
    with pytest.raises(FailedPrecondition, match=f"network front-id is in use by service {service.id}"):
        scene.apply(RemoveNetwork("front-id"))
    scene.apply(RemoveService(service.id))
    scene.apply(RemoveNetwork("front-id"))
    settle(scene)
    assert "front-id" in [network.network_id for network in configuration_for(scene.state, task.node_id).networks]
    assert scene.state.network_named("front") is None
    # Its name is free, its subnet is not.
    with pytest.raises(Forbidden, match="Pool overlaps"):
        scene.apply(CreateNetwork(a_network("other", 1)))
    scene.apply(CreateNetwork(Network("new-id", "front", "10.1.9.0/24", 4200)))
    with pytest.raises(NotFound):
        scene.create(on("front", name="late"))
    scene.hear()
    scene.apply(*reconcile(scene.situation).actions)
    scene.report(task.id, TaskState.SHUTDOWN)
    settle(scene)
    assert sorted(network.name for network in scene.state.networks.values()) == ["back", "front", "ingress"]
    assert "front-id" not in scene.state.networks


def test_a_network_is_in_use_by_a_task_that_is_wanted(scene: Scene) -> None:
    service = scene.create(on("front"))
    serve(scene, service)
    (task,) = scene.state.tasks_of_service(service.id)
    current = scene.state.service(service.id)
    scene.apply(UpdateService(service.id, current.version, on("back")))
    with pytest.raises(FailedPrecondition, match=f"network front-id is in use by task {task.id}"):
        scene.apply(RemoveNetwork("front-id"))
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    scene.apply(RemoveNetwork("front-id"))


def test_the_mesh_can_be_removed_and_made_anew_but_does_not_come_back_by_itself(scene: Scene) -> None:
    mesh = scene.state.ingress
    assert mesh is not None
    with pytest.raises(AlreadyExists, match="already present"):
        scene.apply(CreateNetwork(a_network("second", 7, ingress=True)))
    scene.apply(RemoveNetwork(mesh.id))
    settle(scene)
    assert scene.state.ingress is None
    scene.apply(CreateNetwork(a_network("second", 7, ingress=True)))
    settle(scene)
    assert all("second-id" in dict(node.gateways) for node in scene.state.nodes.values())


def test_a_free_subnet_holds_no_node() -> None:
    assert free_subnet(Cluster("c"), [], ["10.0.0.7", "10.0.1.9"]) == "10.0.2.0/24"
