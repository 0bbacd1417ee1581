"""`--generic-resource`: what a task reserves it is given, and nobody else."""

from dataclasses import replace

from orchestrator.control.scheduler.scheduler import reconcile
from orchestrator.model.service import Resources
from orchestrator.model.task import Task
from orchestrator.state.actions import Action, AllocateTask, AssignTask, CreateTask, ExplainPending
from tests.builders import Scene, a_node, a_spec

HAS = Resources(4_000_000_000, 8 << 30, generic=(("SSD", 4),), named=(("GPU", "uuid-1"), ("GPU", "uuid-2")))


def placed(*wanted: tuple[str, int], tasks: int = 1) -> tuple[Action, ...]:
    scene = Scene([a_node("n1", resources=HAS)])
    spec = a_spec(replicas=tasks)
    service = scene.create(replace(spec, task=replace(spec.task, reservations=Resources(generic=wanted))))
    for number in range(tasks):
        task = Task(f"t{number}", service.id, service.name, number + 1, service.spec.task, service.spec_version)
        scene.apply(CreateTask(task), AllocateTask(task.id, ()))
    actions = reconcile(scene.situation).actions
    scene.apply(*actions)
    return actions


def test_amounts_and_names_are_claimed() -> None:
    assert placed(("GPU", 2), ("SSD", 3)) == (
        AssignTask("t0", "n1", (("GPU", "uuid-1"), ("GPU", "uuid-2"), ("SSD", "3"))),
    )


def test_each_task_gets_its_own_until_none_is_left() -> None:
    assert placed(("GPU", 1), tasks=3) == (
        AssignTask("t0", "n1", (("GPU", "uuid-1"),)),
        AssignTask("t1", "n1", (("GPU", "uuid-2"),)),
        ExplainPending("t2", "no suitable node (insufficient resources on 1 node)"),
    )


def test_a_kind_no_node_has_is_waited_for() -> None:
    (action,) = placed(("FPGA", 1))
    assert isinstance(action, ExplainPending)


def test_a_certain_resource_is_never_enough() -> None:
    """As in swarm mode: it can be asked for, and the task then waits."""
    scene = Scene([a_node("n1", resources=HAS)])
    spec = a_spec(replicas=1)
    service = scene.create(replace(spec, task=replace(spec.task, reservations=Resources(named=(("GPU", "uuid-1"),)))))
    task = Task("t0", service.id, service.name, 1, service.spec.task, service.spec_version)
    scene.apply(CreateTask(task), AllocateTask(task.id, ()))
    (action,) = reconcile(scene.situation).actions
    assert action == ExplainPending("t0", "no suitable node (insufficient resources on 1 node)")


def test_what_a_running_task_holds_stays_its_own() -> None:
    scene = Scene([a_node("n1", resources=HAS)])
    spec = a_spec(replicas=2)
    service = scene.create(replace(spec, task=replace(spec.task, reservations=Resources(generic=(("GPU", 1),)))))
    for number, expected in enumerate(("uuid-1", "uuid-2")):
        task = Task(f"t{number}", service.id, service.name, number + 1, service.spec.task, service.spec_version)
        scene.apply(CreateTask(task), AllocateTask(task.id, ()))
        (action,) = reconcile(scene.situation).actions
        assert action == AssignTask(task.id, "n1", (("GPU", expected),))
        scene.apply(action)
        assert scene.state.task(task.id).claims == (("GPU", expected),)
