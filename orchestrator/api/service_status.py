"""Counts a service's tasks as `docker service ls` shows them. Pure; follows swarmkit's `ListServiceStatuses`."""

from orchestrator.api.wire.service import ServiceStatus
from orchestrator.model.service import Service, ServiceMode
from orchestrator.model.task import Task, TaskState
from orchestrator.state.cluster_state import ClusterState


def status_of(service: Service, state: ClusterState) -> ServiceStatus:
    """Running, desired and completed tasks; of a job, those of its present iteration."""
    tasks = state.tasks_of_service(service.id)
    if service.spec.is_job:
        tasks = [task for task in tasks if task.job_iteration == service.job_iteration]
    completed = sum(task.status.state is TaskState.COMPLETE for task in tasks)
    return ServiceStatus(
        running_tasks=sum(task.status.state is TaskState.RUNNING for task in tasks),
        desired_tasks=_desired(service, tasks),
        completed_tasks=completed if service.spec.is_job else 0,
    )


def _desired(service: Service, tasks: list[Task]) -> int:
    match service.spec.mode:
        case ServiceMode.REPLICATED:
            return service.spec.desired_replicas
        case ServiceMode.REPLICATED_JOB:
            return service.spec.max_concurrent or 0
        case ServiceMode.GLOBAL:
            return sum(task.desired_state is TaskState.RUNNING for task in tasks)
        case ServiceMode.GLOBAL_JOB:
            return sum(
                task.desired_state is TaskState.COMPLETE and task.status.state is not TaskState.COMPLETE
                for task in tasks
            )
