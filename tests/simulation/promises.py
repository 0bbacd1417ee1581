"""What a history owes its users: services never too small while it runs, everything as asked at its end. Pure."""

from collections.abc import Collection

from orchestrator.control.constraints import node_matches
from orchestrator.control.slots import slots_of
from orchestrator.model.service import Service, ServiceMode, UpdateConfig, UpdateOrder
from orchestrator.model.task import Task, TaskState
from orchestrator.state.cluster_state import ClusterState
from orchestrator.testing.invariants import unsettled
from orchestrator.testing.simulated_cluster import SimulatedCluster


def is_at_rest(state: ClusterState, service: Service) -> bool:
    """Whether just the tasks run that the service should have."""
    status = service.update_status
    tasks = [task for task in state.tasks_of_service(service.id) if task.is_live]
    return (
        not (status and status.state.is_active)
        and len(tasks) == service.spec.desired_replicas
        and all(task.status.state is TaskState.RUNNING and _is_current(service, task) for task in tasks)
    )


def fewest_ready(service: Service, replicas: int, config: UpdateConfig) -> int:
    """How many tasks have to be ready all the while that it is updated, and scaled to so many."""
    wanted = min(service.spec.desired_replicas, replicas)
    missing = 0 if config.order is UpdateOrder.START_FIRST else config.parallelism or wanted
    if wanted > 1 and (service.spec.ports or service.spec.task.networks):
        missing = min(missing, wanted - 1)
    return wanted - missing


def problems_of(cluster: SimulatedCluster, gone: Collection[str]) -> list[str]:
    """What is not as asked yet; `gone` are the nodes that died for good."""
    problems = unsettled(cluster.state)
    problems.extend(
        f"{node.id} is {node.state}" for node in cluster.state.nodes.values() if node.is_ready is (node.id in gone)
    )
    for service in cluster.state.services.values():
        look = _job_problems if service.spec.is_job else _service_problems
        problems.extend(look(cluster.state, service))
    if cluster.plan.actions:
        problems.append("the plan is not empty")
    return problems


def _service_problems(state: ClusterState, service: Service) -> list[str]:
    problems = []
    status = service.update_status
    if status is not None and status.state.is_active:
        problems.append(f"{service.name} is {status.state}")
    slots = slots_of(state, service)
    if service.spec.mode is ServiceMode.REPLICATED and len(slots) != service.spec.desired_replicas:
        problems.append(f"{service.name} has {len(slots)} slots")
    problems.extend(
        f"{task.container_name} is outdated"
        for slot in slots
        for task in slot.live
        if not _is_current(service, task) and not _is_left_alone(state, service, task)
    )
    if service.spec.task.restart is None and any(slot.is_finished for slot in slots):
        problems.append(f"{service.name} has slots that are not restarted")
    return problems


def _job_problems(state: ClusterState, service: Service) -> list[str]:
    """A job whose restart policy never gives up has completed what it was asked to."""
    tasks = [task for task in state.tasks_of_service(service.id) if task.job_iteration == service.job_iteration]
    completed = sum(task.status.state is TaskState.COMPLETE for task in tasks)
    wanted = service.spec.total_completions
    if wanted is None:
        constraints = service.spec.task.placement.constraints if service.spec.task.placement else ()
        # A node that died for good runs nothing any more, and one that is paused nothing new.
        wanted = sum(node.accepts_tasks and node_matches(node, constraints) for node in state.nodes.values())
    gives_up = service.spec.task.restart is not None
    return [] if gives_up or completed >= wanted else [f"{service.name} has completed {completed} of {wanted}"]


def _is_left_alone(state: ClusterState, service: Service, task: Task) -> bool:
    """Whether it is a paused node's own task, which stays as it is until the node takes tasks again."""
    return service.spec.mode is ServiceMode.GLOBAL and not state.nodes[task.node_id].accepts_tasks


def _is_current(service: Service, task: Task) -> bool:
    return task.spec_version == service.spec_version
