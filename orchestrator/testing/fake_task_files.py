"""`interfaces.TaskFiles` as a table, for tests of the agent."""

from collections.abc import Mapping, Sequence

from orchestrator.interfaces import TaskRejected
from orchestrator.model.files import FilePayload
from orchestrator.model.task import Task


class FakeTaskFiles:
    """`laid_out` is task id -> (object id -> content)."""

    def __init__(self) -> None:
        self.laid_out: dict[str, dict[str, bytes]] = {}

    def write(self, task: Task, payloads: Mapping[str, FilePayload]) -> None:
        """Note what the task mounts. Raises `TaskRejected` when a payload is missing."""
        container = task.spec.container
        wanted = [reference.object_id for reference in (*container.secrets, *container.configs)]
        if any(object_id not in payloads for object_id in wanted):
            raise TaskRejected("not available on this node")
        if wanted:
            self.laid_out[task.id] = {object_id: payloads[object_id].data for object_id in wanted}

    def erase(self, task_id: str) -> None:
        """Forget the task."""
        self.laid_out.pop(task_id, None)

    def task_ids(self) -> Sequence[str]:
        """Tasks noted and not erased."""
        return sorted(self.laid_out)
