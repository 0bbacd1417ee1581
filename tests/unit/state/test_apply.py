"""What committed actions do, and which are refused."""

from dataclasses import replace

import pytest

from orchestrator.control.slots import new_task
from orchestrator.model.errors import (
    AlreadyExists,
    ClusterError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfSequence,
    TransitionRefused,
)
from orchestrator.model.node import NodeRole, NodeSpec, NodeState
from orchestrator.model.service import PortConfig, UpdateState, UpdateStatus
from orchestrator.model.service_defaults import with_defaults
from orchestrator.model.task import EndpointState, TaskState
from orchestrator.state.actions import (
    AddNode,
    AllocateService,
    AllocateTask,
    AssignTask,
    ConfirmWithdrawal,
    CreateService,
    CreateTask,
    LeapRevisions,
    ReleaseEndpoint,
    RemoveNode,
    RemoveService,
    RemoveTask,
    RollbackService,
    SetDesiredState,
    SetNodeState,
    SetUpdateStatus,
    UpdateNodeSpec,
    UpdateService,
)
from orchestrator.state.codec import decode_state, encode_state
from tests.builders import Scene, a_node, a_service, a_spec, a_task_running


def a_scene() -> Scene:
    scene = Scene([a_node("n1"), a_node("n2")])
    scene.create(a_spec())
    return scene


def test_a_batch_is_whole_or_nothing() -> None:
    scene = a_scene()
    before = (scene.state.index, dict(scene.state.services), dict(scene.state.nodes))
    with pytest.raises(AlreadyExists):
        scene.apply(
            SetNodeState("n1", NodeState.DOWN),
            RemoveService("web-id"),
            CreateService(a_service()),
            CreateService(a_service()),
        )
    assert (scene.state.index, dict(scene.state.services), dict(scene.state.nodes)) == before


def test_a_task_serves_when_it_runs_and_that_is_a_new_revision() -> None:
    scene = a_scene()
    before = scene.state.network_revision
    task = a_task_running(scene, "web-id", "n1")
    assert task.endpoint is EndpointState.SERVING
    assert task.running_since == scene.now
    assert scene.state.network_revision > before


def test_revisions_that_lost_managers_made_are_left_out() -> None:
    scene = a_scene()
    before, indices = scene.state.network_revision, {node.id: node.version for node in scene.state.nodes.values()}
    scene.apply(LeapRevisions(1000), SetNodeState("n1", NodeState.DOWN))
    assert scene.state.network_revision > before + 1000
    assert scene.state.nodes["n1"].version > indices["n1"] + 1000
    assert scene.state.nodes["n2"].version == indices["n2"]
    index = scene.state.index
    scene.apply(SetNodeState("n2", NodeState.DOWN))
    assert scene.state.index == index + 1


def test_a_stop_is_withheld_until_the_endpoint_is_released() -> None:
    scene = a_scene()
    task = a_task_running(scene, "web-id", "n1")
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    task = scene.state.task(task.id)
    assert (task.endpoint, task.ordered_state) == (EndpointState.WITHDRAWING, TaskState.RUNNING)
    assert task.withdrawn_revision == scene.state.network_revision
    scene.apply(ConfirmWithdrawal(task.id))
    assert scene.state.task(task.id).ordered_state is TaskState.RUNNING
    scene.apply(ReleaseEndpoint(task.id))
    assert scene.state.task(task.id).ordered_state is TaskState.SHUTDOWN


def test_a_task_nobody_was_sent_to_stops_at_once() -> None:
    scene = a_scene()
    scene.apply(CreateTask(new_task(scene.state.service("web-id"), 1, lambda: "t1")))
    scene.apply(SetDesiredState("t1", TaskState.SHUTDOWN))
    assert scene.state.task("t1").ordered_state is TaskState.SHUTDOWN


def test_a_task_that_was_told_to_stop_never_joins_the_balancers() -> None:
    scene = a_scene()
    task = new_task(scene.state.service("web-id"), 1, lambda: "t1")
    scene.apply(
        CreateTask(task), AllocateTask("t1", ()), AssignTask("t1", "n1"), SetDesiredState("t1", TaskState.SHUTDOWN)
    )
    scene.report("t1", TaskState.RUNNING)
    assert scene.state.task("t1").endpoint is EndpointState.RELEASED


def test_a_task_that_ends_leaves_the_balancers_at_once() -> None:
    scene = a_scene()
    task = a_task_running(scene, "web-id", "n1")
    revision = scene.state.network_revision
    scene.report(task.id, TaskState.FAILED)
    assert scene.state.task(task.id).endpoint is EndpointState.RELEASED
    assert scene.state.network_revision > revision


def test_a_task_that_fails_by_its_health_is_withdrawn_like_one_that_is_stopped() -> None:
    scene = a_scene()
    task = a_task_running(scene, "web-id", "n1")
    scene.report(task.id, TaskState.FAILED, still_runs=True)
    failed = scene.state.task(task.id)
    assert (failed.endpoint, failed.is_gone) == (EndpointState.WITHDRAWING, False)
    assert failed.withdrawn_revision == scene.state.network_revision
    with pytest.raises(TransitionRefused, match="its endpoint is withdrawing"):
        scene.apply(RemoveTask(task.id))
    scene.apply(ConfirmWithdrawal(task.id), ReleaseEndpoint(task.id))
    assert scene.state.task(task.id).is_gone
    scene.apply(RemoveTask(task.id))


def test_a_task_that_fails_by_its_health_while_it_drains_goes_on_draining() -> None:
    scene = a_scene()
    task = a_task_running(scene, "web-id", "n1")
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    scene.apply(ConfirmWithdrawal(task.id))
    scene.report(task.id, TaskState.FAILED, still_runs=True)
    assert scene.state.task(task.id).endpoint is EndpointState.DRAINING
    scene.report(task.id, TaskState.FAILED)
    assert scene.state.task(task.id).is_gone


def test_what_is_wanted_is_never_lowered() -> None:
    scene = a_scene()
    task = a_task_running(scene, "web-id", "n1")
    scene.apply(SetDesiredState(task.id, TaskState.REMOVE))
    scene.apply(SetDesiredState(task.id, TaskState.RUNNING))
    assert scene.state.task(task.id).desired_state is TaskState.REMOVE


def test_a_changed_template_starts_an_update_and_a_scale_does_not() -> None:
    scene = a_scene()
    a_task_running(scene, "web-id", "n1")
    service = scene.state.service("web-id")
    scene.apply(UpdateService(service.id, service.version, replace(service.spec, replicas=3)))
    scaled = scene.state.service("web-id")
    assert (scaled.spec_version, scaled.update_status) == (service.spec_version, None)
    scene.apply(UpdateService(service.id, scaled.version, a_spec(image="web:2")))
    updated = scene.state.service("web-id")
    assert updated.spec_version > service.spec_version
    assert updated.update_status is not None
    assert updated.update_status.state is UpdateState.UPDATING


def test_a_template_that_spells_the_defaults_out_is_no_other() -> None:
    scene = a_scene()
    service = scene.state.service("web-id")
    scene.apply(UpdateService(service.id, service.version, replace(with_defaults(service.spec), replicas=10)))
    scaled = scene.state.service("web-id")
    assert (scaled.spec_version, scaled.update_status) == (service.spec_version, None)


def test_what_an_image_is_fetched_with_is_no_part_of_the_template() -> None:
    scene = a_scene()
    service = scene.state.service("web-id")
    container = replace(service.spec.task.container, registry_auth="token")
    spec = replace(service.spec, task=replace(service.spec.task, container=container))
    scene.apply(UpdateService(service.id, service.version, spec))
    assert scene.state.service("web-id").spec_version == service.spec_version
    assert scene.state.service("web-id").spec.task.container.registry_auth == "token"


def test_a_rollback_restores_the_version_its_tasks_were_made_from() -> None:
    scene = a_scene()
    a_task_running(scene, "web-id", "n1")
    service = scene.state.service("web-id")
    scene.apply(UpdateService(service.id, service.version, a_spec(image="web:2")))
    scene.apply(RollbackService(service.id))
    rolled_back = scene.state.service("web-id")
    assert (rolled_back.spec, rolled_back.spec_version) == (service.spec, service.spec_version)
    assert rolled_back.previous_spec is None


def test_the_updater_is_refused_when_the_user_was_quicker() -> None:
    scene = a_scene()
    service = scene.state.service("web-id")
    scene.apply(UpdateService(service.id, service.version, a_spec(image="web:2")))
    status = UpdateStatus(UpdateState.COMPLETED, 1.0)
    with pytest.raises(OutOfSequence):
        scene.apply(SetUpdateStatus(service.id, service.spec_version, status))
    with pytest.raises(OutOfSequence):
        scene.apply(RollbackService(service.id, between=(service.spec_version, 0)))


def test_the_progress_of_an_update_that_was_asked_for_anew_is_refused() -> None:
    scene = a_scene()
    a_task_running(scene, "web-id", "n1")
    wish = a_spec(image="web:2")
    for _ in range(2):
        scene.now += 1.0
        scene.apply(UpdateService("web-id", scene.state.service("web-id").version, wish))
    service = scene.state.service("web-id")
    assert service.update_status is not None
    paused = replace(service.update_status, state=UpdateState.PAUSED)
    with pytest.raises(OutOfSequence):
        scene.apply(SetUpdateStatus("web-id", service.spec_version, replace(paused, started_at=scene.now - 1.0)))
    scene.apply(SetUpdateStatus("web-id", service.spec_version, paused))
    with pytest.raises(OutOfSequence):
        scene.apply(SetUpdateStatus("web-id", service.spec_version, paused))


def test_a_task_of_a_spec_that_was_just_replaced_is_refused() -> None:
    """Found by simulation: it would have been outdated for ever."""
    scene = a_scene()
    service = scene.state.service("web-id")
    late = CreateTask(new_task(service, 1, lambda: "t1"))
    scene.apply(UpdateService(service.id, service.version, a_spec(image="web:2")))
    with pytest.raises(TransitionRefused, match="newer spec"):
        scene.apply(late)


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (
            CreateService(a_service()),
            AlreadyExists,
            "name conflicts with an existing object: service web already exists",
        ),
        (UpdateService("web-id", 0, a_spec()), OutOfSequence, "update out of sequence"),
        (UpdateService("gone", 0, a_spec()), NotFound, "service gone not found"),
        (RollbackService("web-id"), FailedPrecondition, "service web does not have a previous spec"),
        (RemoveTask("gone"), NotFound, "task gone not found"),
        (AssignTask("t1", "n1"), TransitionRefused, "task: scheduler may not move new to assigned"),
        (RemoveTask("t1"), TransitionRefused, "task t1 is still new"),
        (ConfirmWithdrawal("t1"), TransitionRefused, "task t1: its endpoint is absent, not withdrawing"),
        (UpdateNodeSpec("n1", 0, NodeSpec()), OutOfSequence, "update out of sequence"),
        (RemoveNode("n1"), FailedPrecondition, "node n1 is not down and can't be removed"),
    ],
)
def test_refusals(action: object, error: type[ClusterError], message: str) -> None:
    scene = a_scene()
    scene.apply(CreateTask(new_task(scene.state.service("web-id"), 1, lambda: "t1")))
    with pytest.raises(error) as refusal:
        scene.apply(action)  # type: ignore[arg-type]
    assert str(refusal.value) == message


def test_a_port_is_published_once() -> None:
    scene = a_scene()
    scene.create(a_spec("first", ports=(PortConfig(80, 8080),)))
    with pytest.raises(InvalidArgument, match=r"port '8080' is already in use by service 'first' \(first-id\)"):
        scene.create(a_spec("second", ports=(PortConfig(81, 8080),)))


def test_an_update_holds_its_new_port_from_its_commit_on_and_the_old_one_is_free() -> None:
    scene = a_scene()
    web = scene.create(a_spec("shop", ports=(PortConfig(80, 8080),)))
    scene.apply(AllocateService(web.id, web.spec.ports))
    moved = a_spec("shop", ports=(PortConfig(80, 8081),))
    scene.apply(UpdateService(web.id, scene.state.service(web.id).version, moved))
    with pytest.raises(InvalidArgument, match="port '8081' is already in use by service 'shop'"):
        scene.create(a_spec("other", ports=(PortConfig(80, 8081),)))
    scene.create(a_spec("other", ports=(PortConfig(80, 8080),)))


def test_a_port_that_was_given_is_held_while_the_spec_leaves_it_open() -> None:
    scene = a_scene()
    web = scene.create(a_spec("shop", ports=(PortConfig(80), PortConfig(81, 8081))))
    scene.apply(AllocateService(web.id, (PortConfig(80, 30000), PortConfig(81, 8081))))
    with pytest.raises(InvalidArgument, match="port '30000' is already in use by service 'shop'"):
        scene.create(a_spec("other", ports=(PortConfig(80, 30000),)))
    scene.apply(UpdateService(web.id, scene.state.service(web.id).version, a_spec("shop")))
    scene.create(a_spec("other", ports=(PortConfig(80, 30000),)))


def test_a_manager_is_demoted_before_it_is_removed() -> None:
    scene = a_scene()
    scene.apply(AddNode(a_node("m1", role=NodeRole.MANAGER, state=NodeState.DOWN)))
    with pytest.raises(FailedPrecondition, match="must be demoted to worker before removal"):
        scene.apply(RemoveNode("m1", force=True))


def test_a_snapshot_is_the_state_again() -> None:
    scene = a_scene()
    task = a_task_running(scene, "web-id", "n1")
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    again = decode_state(encode_state(scene.state))
    assert encode_state(again) == encode_state(scene.state)
    assert again.leaving_tasks == scene.state.leaving_tasks
    assert again.tasks_on_node("n1") == scene.state.tasks_on_node("n1")


def test_a_draft_shares_nothing_that_changes() -> None:
    scene = a_scene()
    before = encode_state(scene.state)
    draft = scene.state.draft()
    assert encode_state(draft) == before
    twin = Scene([])
    twin.state = draft
    twin.create(a_spec("other"))
    a_task_running(twin, "other-id", "n1")
    assert encode_state(scene.state) == before
    assert scene.state.tasks_on_node("n1") == []


def test_the_latest_withdrawal_is_remembered_when_its_task_is_forgotten() -> None:
    scene = a_scene()
    task = a_task_running(scene, "web-id", "n1")
    scene.apply(SetDesiredState(task.id, TaskState.SHUTDOWN))
    withdrawn = scene.state.task(task.id).withdrawn_revision
    scene.report(task.id, TaskState.SHUTDOWN)
    scene.apply(RemoveTask(task.id))
    assert scene.state.withdrawn_revision == withdrawn
    assert scene.state.draft().withdrawn_revision == withdrawn
    assert decode_state(encode_state(scene.state)).withdrawn_revision == withdrawn
    other = a_task_running(scene, "web-id", "n2")
    with pytest.raises(AlreadyExists):
        scene.apply(SetDesiredState(other.id, TaskState.SHUTDOWN), CreateService(a_service()))
    assert scene.state.withdrawn_revision == withdrawn
