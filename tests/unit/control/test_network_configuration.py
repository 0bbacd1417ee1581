"""What each node's data plane and agent are told."""

from dataclasses import replace

import pytest

from orchestrator.control import loop
from orchestrator.control.network_configuration import balanced_services, configuration_for, tasks_for
from orchestrator.model.network import Peer
from orchestrator.model.node import NodeState
from orchestrator.model.service import PortConfig
from orchestrator.model.task import TaskState
from orchestrator.state.actions import (
    AddNode,
    ConfirmWithdrawal,
    ReleaseEndpoint,
    RemoveService,
    SetNodeState,
    UpdateService,
)
from tests.builders import Scene, a_node, a_spec


def a_scene() -> Scene:
    """Two nodes with a running task each; nobody has acknowledged anything since."""
    scene = Scene([a_node("n1", address="10.9.0.1"), a_node("n2", address="10.9.0.2")])
    scene.create(a_spec(replicas=2, ports=(PortConfig(80, 8080),)))
    decide(scene)
    for task in scene.state.tasks_of_service("web-id"):
        scene.report(task.id, TaskState.RUNNING)
    return scene


def decide(scene: Scene) -> None:
    scene.apply(*loop.reconcile(scene.situation).actions)


def test_a_node_carries_ingress_and_knows_its_peers() -> None:
    scene = a_scene()
    configuration = configuration_for(scene.state, "n1")
    (network,) = configuration.networks
    assert (network.name, network.subnet, network.gateway) == ("ingress", "10.0.0.0/24", "10.0.0.2")
    assert [(peer.node_id, peer.address) for peer in configuration.peers] == [("n2", "10.9.0.2")]
    assert configuration.revision == scene.state.network_revision


def test_a_machine_that_joined_again_is_one_peer_and_never_its_own() -> None:
    scene = Scene([a_node("z-old", address="10.9.0.1", state=NodeState.DOWN), a_node("n2", address="10.9.0.2")])
    scene.now += 1.0
    scene.apply(AddNode(a_node("n1", address="10.9.0.1")))
    assert configuration_for(scene.state, "n1").peers == (Peer("n2", "10.9.0.2"),)
    assert configuration_for(scene.state, "n2").peers == (Peer("n1", "10.9.0.1"),)
    scene.apply(SetNodeState("n1", NodeState.DOWN))
    assert configuration_for(scene.state, "n2").peers == (Peer("n1", "10.9.0.1"),)
    scene.apply(SetNodeState("z-old", NodeState.READY))
    assert configuration_for(scene.state, "n2").peers == (Peer("z-old", "10.9.0.1"),)


def test_every_node_balances_over_all_serving_tasks() -> None:
    scene = a_scene()
    (service,) = configuration_for(scene.state, "n2").services
    assert [port.published_port for port in service.ports] == [8080]
    tasks = scene.state.tasks_of_service("web-id")
    assert [endpoint.task_id for endpoint in service.endpoints] == sorted(task.id for task in tasks)
    assert {e.address for e in service.endpoints} == {task.attachments[0].address for task in tasks}


@pytest.mark.parametrize(
    ("before", "after", "deviating"),
    [
        ((PortConfig(8080, 80),), (PortConfig(9090, 80),), (("tcp", 80, 8080),)),
        ((PortConfig(8080),), (PortConfig(9090),), (("tcp", 30000, 8080),)),
        ((PortConfig(8080, 80),), (PortConfig(8080, 80), PortConfig(9090, 90)), (("tcp", 90, 0),)),
        # It listens there: why not serve under the new number at once?
        ((PortConfig(8080, 80),), (PortConfig(8080, 81),), ()),
        ((PortConfig(8080),), (PortConfig(8080, 81),), ()),
        ((PortConfig(8080, 80),), (PortConfig(8080, 80, "udp"),), (("udp", 80, 0),)),
    ],
)
def test_while_ports_change_old_tasks_are_sent_to_where_they_listen(
    before: tuple[PortConfig, ...], after: tuple[PortConfig, ...], deviating: tuple[tuple[str, int, int], ...]
) -> None:
    scene = Scene([a_node("n1")])
    scene.create(a_spec(ports=before))
    decide(scene)
    (task,) = scene.state.tasks_of_service("web-id")
    scene.report(task.id, TaskState.RUNNING)
    scene.apply(UpdateService("web-id", scene.state.service("web-id").version, a_spec(ports=after)))
    decide(scene)
    (service,) = balanced_services(scene.state)
    (endpoint,) = service.endpoints
    assert (endpoint.task_id, endpoint.deviating_ports) == (task.id, deviating)


def test_a_withdrawn_task_drains_and_gets_no_new_connections() -> None:
    scene = a_scene()
    service = scene.state.service("web-id")
    scene.apply(UpdateService(service.id, service.version, replace(service.spec, replicas=1)))
    decide(scene)
    (balanced,) = balanced_services(scene.state)
    assert (len(balanced.endpoints), len(balanced.draining)) == (1, 1)


def test_tasks_of_a_dead_node_are_not_balanced_to() -> None:
    scene = a_scene()
    scene.apply(SetNodeState("n1", NodeState.DOWN))
    (balanced,) = balanced_services(scene.state)
    assert [endpoint.node_id for endpoint in balanced.endpoints] == ["n2"]
    assert [endpoint.node_id for endpoint in balanced.lingering] == ["n1"]


def test_a_removed_service_drains_on() -> None:
    scene = a_scene()
    scene.apply(RemoveService("web-id"))
    (balanced,) = balanced_services(scene.state)
    assert (balanced.service_name, balanced.ports, balanced.endpoints) == ("web", (), ())
    assert len(balanced.draining) == 2


def test_what_may_be_stopped_lingers_until_it_has_ended() -> None:
    scene = a_scene()
    first, second = scene.state.tasks_of_service("web-id")
    scene.apply(RemoveService("web-id"))
    for task in (first, second):
        scene.apply(ConfirmWithdrawal(task.id), ReleaseEndpoint(task.id))
    (balanced,) = balanced_services(scene.state)
    assert (balanced.draining, len(balanced.lingering)) == ((), 2)
    revision = scene.state.network_revision
    scene.report(first.id, TaskState.SHUTDOWN)
    (balanced,) = balanced_services(scene.state)
    assert [endpoint.task_id for endpoint in balanced.lingering] == [second.id]
    assert scene.state.network_revision > revision
    scene.report(second.id, TaskState.SHUTDOWN)
    assert balanced_services(scene.state) == ()


def test_a_node_is_told_of_its_own_tasks_history_included() -> None:
    scene = a_scene()
    (task,) = tasks_for(scene.state, "n1")
    scene.report(task.id, TaskState.FAILED)
    assert [known.id for known in tasks_for(scene.state, "n1")] == [task.id]
    assert tasks_for(scene.state, "nowhere") == ()
