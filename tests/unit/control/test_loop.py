"""How plans become one batch."""

from orchestrator.control.loop import MAX_ROUNDS, Reconciler, reconcile
from orchestrator.control.plan import Plan, Situation, earliest, merged
from orchestrator.control.slots import new_task
from orchestrator.model.service import PortConfig
from orchestrator.model.task import TaskState
from orchestrator.state.actions import CreateTask, ExplainPending, RemoveTask, SetNodeState
from tests.builders import Scene, a_node, a_spec


def test_one_batch_carries_tasks_from_creation_to_their_nodes() -> None:
    scene = Scene([a_node("n1"), a_node("n2")])
    scene.create(a_spec(replicas=3, ports=(PortConfig(80),)))
    scene.apply(*reconcile(scene.situation).actions)
    states = [task.status.state for task in scene.state.tasks.values()]
    assert states == [TaskState.ASSIGNED] * 3
    assert reconcile(scene.situation).actions == ()


def test_deciding_changes_nothing() -> None:
    scene = Scene([a_node("n1")])
    scene.create(a_spec())
    index, tasks = scene.state.index, dict(scene.state.tasks)
    reconcile(scene.situation)
    assert (scene.state.index, dict(scene.state.tasks)) == (index, tasks)


def test_later_deciders_see_what_earlier_ones_want() -> None:
    scene = Scene([a_node("n1")])
    service = scene.create(a_spec())

    def create(situation: Situation) -> Plan:
        return Plan() if situation.state.tasks else Plan((CreateTask(new_task(service, 1, lambda: "t1")),))

    def explain(situation: Situation) -> Plan:
        missing = [t for t in situation.state.tasks.values() if not t.status.error]
        return Plan(tuple(ExplainPending(t.id, "seen") for t in missing), wake_at=7.0)

    plan = reconcile(scene.situation, (create, explain))
    assert [type(action).__name__ for action in plan.actions] == ["CreateTask", "ExplainPending"]
    assert plan.wake_at == 7.0


def test_a_decider_that_wants_what_cannot_be_had_does_not_keep_the_others_from_their_work() -> None:
    scene = Scene([a_node("n1")])
    service = scene.create(a_spec())

    def confused(situation: Situation) -> Plan:
        return Plan((CreateTask(new_task(service, 1, lambda: "half")), RemoveTask("unknown")), wake_at=7.0)

    def create(situation: Situation) -> Plan:
        return Plan() if situation.state.tasks else Plan((CreateTask(new_task(service, 1, lambda: "t1")),))

    plan = reconcile(scene.situation, (confused, create))
    assert plan.actions == (CreateTask(new_task(service, 1, lambda: "t1")),)
    assert plan.problems == (f"{__name__}: task unknown not found",)
    assert plan.wake_at == 7.0


def test_a_decider_that_never_rests_does_not_hang_the_leader() -> None:
    scene = Scene([a_node("n1")])
    scene.create(a_spec())
    numbers = iter(range(1000))

    def restless(situation: Situation) -> Plan:
        service = situation.state.service("web-id")
        return Plan((CreateTask(new_task(service, 1, lambda: f"t{next(numbers)}")),))

    plan = reconcile(scene.situation, (restless,))
    assert (len(plan.actions), plan.wake_at) == (MAX_ROUNDS, scene.now)


def test_a_heartbeat_at_rest_is_answered_from_memory_and_a_change_is_not() -> None:
    scene = Scene([a_node("n1")])
    scene.apply(*reconcile(scene.situation).actions)
    scene.hear()
    remembering = Reconciler()
    assert remembering(scene.situation).actions == ()
    scene.now += 1.0
    scene.hear()
    assert remembering(scene.situation).actions == ()
    scene.create(a_spec())
    assert remembering(scene.situation).actions != ()
    scene.apply(*remembering(scene.situation).actions)
    assert remembering(scene.situation).actions == ()
    scene.now += 15.0
    assert isinstance(remembering(scene.situation).actions[0], SetNodeState)


def test_merged_and_earliest() -> None:
    action = ExplainPending("t", "e")
    assert merged([Plan((action,)), Plan(wake_at=3.0), Plan((action,), 2.0)]) == Plan((action, action), 2.0)
    assert earliest((None, 4.0, 2.0)) == 2.0
    assert earliest((None, None)) is None
