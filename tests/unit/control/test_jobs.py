"""Jobs, step by step: the decider against a state that tests move on by hand."""

from itertools import count

from orchestrator.control import jobs
from orchestrator.control.plan import Plan, Situation
from orchestrator.model.cluster import Cluster
from orchestrator.model.container import ContainerSpec
from orchestrator.model.node import Availability, Node, NodeDescription, NodeSpec, NodeState
from orchestrator.model.service import RestartCondition, RestartPolicy, Service, ServiceMode, ServiceSpec, TaskSpec
from orchestrator.model.task import EndpointState, Task, TaskState, TaskStatus
from orchestrator.state import actions as act
from orchestrator.state.apply import apply
from orchestrator.state.cluster_state import ClusterState

NOW = 1000.0


class Rig:
    """A cluster of ready nodes and one job."""

    def __init__(self, spec: ServiceSpec, nodes: int = 2) -> None:
        self.state = ClusterState()
        self.now = NOW
        self._ids = count(1)
        members = [
            Node(f"n{number}", NodeSpec(), NodeDescription(f"h{number}"), f"10.0.0.{number}", state=NodeState.READY)
            for number in range(1, nodes + 1)
        ]
        self.do(act.CreateCluster(Cluster("c")), *map(act.AddNode, members))
        self.do(act.CreateService(Service("job", spec, 0)))

    def do(self, *actions: act.Action) -> None:
        apply(self.state, act.Batch(self.now, actions))

    def decide(self) -> Plan:
        """One round; what is decided takes effect, and fresh tasks are placed and run."""
        plan = jobs.reconcile(Situation(self.state, self.now, lambda: f"t{next(self._ids)}", {}, 0.0))
        self.do(*plan.actions)
        for task in list(self.state.waiting_tasks):
            self.do(act.AllocateTask(task.id, ()), act.AssignTask(task.id, task.node_id or "n1"))
        return plan

    def end(self, task: Task, state: TaskState) -> None:
        self.do(act.ReportTaskStatus(task.id, TaskStatus(TaskState.STARTING)))
        self.do(act.ReportTaskStatus(task.id, TaskStatus(state)))

    @property
    def live(self) -> list[Task]:
        return [task for task in self.state.tasks.values() if task.is_live]

    @property
    def completed(self) -> int:
        return sum(task.status.state is TaskState.COMPLETE for task in self.state.tasks.values())

    def update(self, spec: ServiceSpec | None = None) -> None:
        service = self.state.service("job")
        self.do(act.UpdateService("job", service.version, spec or service.spec))


def replicated(total: int, at_a_time: int, restart: RestartPolicy | None = None) -> ServiceSpec:
    return ServiceSpec(
        "job",
        TaskSpec(ContainerSpec("work:1"), restart=restart),
        mode=ServiceMode.REPLICATED_JOB,
        max_concurrent=at_a_time,
        total_completions=total,
    )


def test_only_so_many_run_at_a_time_until_all_have_completed() -> None:
    rig = Rig(replicated(total=5, at_a_time=2))
    rig.decide()
    for _ in range(5):
        assert len(rig.live) <= 2
        rig.end(rig.live[0], TaskState.COMPLETE)
        rig.decide()
    assert rig.completed == 5
    assert not rig.decide().actions
    assert {task.slot for task in rig.state.tasks.values()} == {1, 2, 3, 4, 5}
    assert all(task.desired_state is TaskState.COMPLETE for task in rig.state.tasks.values())


def test_a_failed_task_is_tried_again_in_its_slot_after_the_delay() -> None:
    rig = Rig(replicated(1, 1, RestartPolicy(RestartCondition.ON_FAILURE, delay=7.0)))
    rig.decide()
    rig.end(rig.live[0], TaskState.FAILED)
    rig.decide()
    (again,) = rig.live
    assert (again.slot, again.desired_state, again.not_before) == (1, TaskState.READY, NOW + 7.0)
    assert rig.decide().wake_at == NOW + 7.0
    rig.now += 7.0
    rig.decide()
    assert rig.live[0].desired_state is TaskState.COMPLETE
    assert rig.live[0].endpoint is EndpointState.ABSENT, "it is withdrawn before it has run"


def test_a_task_that_may_not_be_tried_again_holds_up_no_other() -> None:
    rig = Rig(replicated(2, 1, RestartPolicy(RestartCondition.NONE)))
    rig.decide()
    rig.end(rig.live[0], TaskState.FAILED)
    rig.decide()
    rig.decide()
    assert [task.slot for task in rig.live] == [2]
    rig.end(rig.live[0], TaskState.COMPLETE)
    rig.decide()
    assert not rig.live


def test_attempts_are_limited() -> None:
    rig = Rig(replicated(1, 1, RestartPolicy(RestartCondition.ON_FAILURE, delay=0.0, max_attempts=2)))
    for _ in range(3):
        rig.decide()
        rig.decide()
        rig.end(rig.live[0], TaskState.FAILED)
    rig.decide()
    assert not rig.live
    assert len(rig.state.tasks) == 3


def test_an_update_runs_the_job_again_and_stops_what_still_ran() -> None:
    rig = Rig(replicated(2, 1))
    rig.decide()
    rig.end(rig.live[0], TaskState.COMPLETE)
    rig.decide()
    (running,) = rig.live
    rig.now += 1.0
    rig.update()
    rig.decide()
    service = rig.state.service("job")
    assert (service.job_iteration, service.job_executed_at, service.update_status) == (1, NOW + 1.0, None)
    assert rig.state.task(running.id).desired_state is TaskState.REMOVE
    assert [(task.slot, task.job_iteration) for task in rig.live] == [(1, 1)]


def test_a_task_of_a_dead_node_is_done_elsewhere() -> None:
    rig = Rig(replicated(1, 1, RestartPolicy(RestartCondition.ON_FAILURE)))
    rig.decide()
    (lost,) = rig.live
    rig.do(act.SetNodeState("n1", NodeState.DOWN))
    rig.do(*jobs.reconcile(Situation(rig.state, rig.now, lambda: "other", {}, 0.0)).actions)
    assert rig.state.task(lost.id).desired_state is TaskState.SHUTDOWN
    assert rig.state.task("other").is_live


def test_a_drained_node_gives_its_task_away_without_costing_an_attempt() -> None:
    rig = Rig(replicated(1, 1, RestartPolicy(RestartCondition.NONE)))
    rig.decide()
    node = rig.state.node("n1")
    rig.do(act.UpdateNodeSpec("n1", node.version, NodeSpec(availability=Availability.DRAIN)))
    rig.do(*jobs.reconcile(Situation(rig.state, rig.now, lambda: "other", {}, 0.0)).actions)
    assert [task.id for task in rig.live] == ["other"]


def test_a_global_job_runs_once_on_every_node_and_on_those_that_come() -> None:
    rig = Rig(ServiceSpec("job", TaskSpec(ContainerSpec("work:1")), mode=ServiceMode.GLOBAL_JOB))
    rig.decide()
    assert sorted(task.node_id for task in rig.live) == ["n1", "n2"]
    for task in rig.live:
        rig.end(task, TaskState.COMPLETE)
    assert not rig.decide().actions
    newcomer = Node("n3", NodeSpec(), NodeDescription("h3"), "10.0.0.3", state=NodeState.READY)
    rig.do(act.AddNode(newcomer))
    rig.decide()
    assert [task.node_id for task in rig.live] == ["n3"]
