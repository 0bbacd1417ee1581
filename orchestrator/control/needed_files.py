"""Which secrets and configs a node must be given: those of tasks it has yet to start, and no others.

Once a task is starting its node has its files; to send them again would only spread them further.
"""

from orchestrator.model.container import ContainerSpec
from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.task import TaskState
from orchestrator.state.cluster_state import ClusterState


def secrets_for(state: ClusterState, node_id: str) -> tuple[Secret, ...]:
    """The node's secrets, ordered by id; one that was removed meanwhile is absent."""
    needed = {reference.object_id for container in _starting(state, node_id) for reference in container.secrets}
    return tuple(state.secrets[object_id] for object_id in sorted(needed) if object_id in state.secrets)


def configs_for(state: ClusterState, node_id: str) -> tuple[ConfigObject, ...]:
    """The node's configs, ordered by id; one that was removed meanwhile is absent."""
    needed = {reference.object_id for container in _starting(state, node_id) for reference in container.configs}
    return tuple(state.configs[object_id] for object_id in sorted(needed) if object_id in state.configs)


def _starting(state: ClusterState, node_id: str) -> list[ContainerSpec]:
    return [
        task.spec.container
        for task in state.tasks_on_node(node_id)
        if task.is_wanted and TaskState.ASSIGNED <= task.status.state < TaskState.STARTING
    ]
