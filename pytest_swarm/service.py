"""A deployed service: update it, scale it, look at its tasks. Every change waits until the cluster has converged."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from pytest_swarm.conditions import ROLLED_BACK, UPDATED, nodes_down, service_converged
from pytest_swarm.engine_client import SERVICE_LABEL
from pytest_swarm.observer import TaskObserver, Transition, replacements
from pytest_swarm.phases import Operation
from pytest_swarm.service_spec import Deployment, Spec, image_of, with_forced_update, with_image, with_replicas
from pytest_swarm.submission import send_spec, submit
from pytest_swarm.waiting import Done, NotYet, wait_until

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster

CONVERGE_SECONDS = 120.0


class Service:
    """A service of the cluster. `name` and `id` are those of the API."""

    def __init__(self, cluster: Cluster, service_id: str, deployment: Deployment) -> None:
        self.cluster = cluster
        self.id = service_id
        self.name = deployment.name
        self.deployment = deployment
        self.observer = TaskObserver(self.tasks)
        self.observer.start()

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """Every change of a task's state that was seen so far."""
        return self.observer.transitions

    @property
    def published_ports(self) -> list[int]:
        return list(self.deployment.publish)

    def inspect(self) -> dict[str, Any]:
        """Return the service as the API describes it."""
        answer: dict[str, Any] = self.cluster.api.inspect_service(self.id)
        return answer

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks of the service that the cluster remembers, stopped ones included."""
        answer: list[dict[str, Any]] = self.cluster.api.tasks(filters={"service": self.id})
        return answer

    def nodes(self) -> list[str]:
        """Return the names of the nodes that run a task now."""
        used = {task["NodeID"] for task in self.tasks() if task["Status"]["State"] == "running"}
        return sorted(name for name, node_id in self.cluster.node_ids().items() if node_id in used)

    def logs(self) -> str:
        """Return what the service's tasks have printed so far."""
        lines = self.cluster.api.service_logs(self.id, stdout=True, stderr=True, details=True)
        return b"".join(lines).decode(errors="replace")

    def update(self, image: str | None = None, *, force: bool = False, timeout: float = CONVERGE_SECONDS) -> Operation:
        """Roll out another image, or with `force` the same one again, and wait until it runs everywhere.

        Raises DeadlineExceeded after `timeout` seconds, OperationFailed when the update is paused or rolled back.
        """
        if image is None and not force:
            raise ValueError("update needs an image=, or force=True to replace the tasks as they are")
        superseded = [task["ID"] for task in self.tasks()] if force else []

        def change(spec: Spec) -> Spec:
            changed = with_image(spec, image) if image is not None else spec
            return with_forced_update(changed) if force else changed

        return self._change("update", functools.partial(self._put, change), image, superseded, timeout)

    def rollback(self, *, timeout: float = CONVERGE_SECONDS) -> Operation:
        """Go back to what the service was before its last change, and wait until that runs everywhere.

        Raises DeadlineExceeded after `timeout` seconds, OperationFailed when the rollback is paused, and
        docker.errors.APIError when there is nothing to go back to.
        """
        previous = self.inspect().get("PreviousSpec")
        image = image_of(previous) if previous is not None else None
        return self._change("rollback", self._ask_to_roll_back, image, (), timeout, ends=ROLLED_BACK)

    def scale(self, replicas: int, *, timeout: float = CONVERGE_SECONDS) -> Operation:
        """Change the number of replicas and wait until exactly so many run."""
        current = self.inspect()["Spec"]["Mode"]["Replicated"]["Replicas"]
        name = f"scale {current} to {replicas}"
        change = functools.partial(self._put, lambda spec: with_replicas(spec, replicas))
        return self._change(name, change, None, (), timeout)

    def remove(self, *, timeout: float = CONVERGE_SECONDS) -> None:
        """Remove the service and wait until its containers are gone from every node."""
        from docker.errors import NotFound

        self.observer.stop()
        try:
            submit(lambda: self.cluster.api.remove_service(self.id), what=f"removal of {self.name}", timeout=timeout)
        except NotFound:
            self.cluster.forget(self)
            return
        self.cluster.forget(self)
        wait_until(self._containers_gone, what=f"removal of {self.name}", timeout=timeout)

    def stop_watching(self) -> None:
        """Note no more changes of state; the service stays as it is."""
        self.observer.stop()

    def wait_converged(
        self,
        image: str | None = None,
        superseded: Collection[str] = (),
        timeout: float = CONVERGE_SECONDS,
        *,
        ends: Collection[str] = UPDATED,
    ) -> None:
        """Wait until the wanted number of tasks run the wanted image, and its update has come to one of these ends.

        Raises DeadlineExceeded, and OperationFailed when the update comes to another end: see `conditions`.
        """
        from docker.errors import DockerException

        def condition() -> Done[None] | NotYet:
            try:
                down = nodes_down(self.cluster.api.nodes())
                return service_converged(
                    self.inspect(), self.tasks(), image, superseded=superseded, down=down, ends=ends
                )
            except (DockerException, OSError) as error:
                return NotYet(str(getattr(error, "explanation", None) or error))

        wait_until(condition, what=f"service {self.name} to converge", timeout=timeout)

    def _change(
        self,
        name: str,
        change: Callable[[Spec], None],
        image: str | None,
        superseded: Collection[str],
        timeout: float,
        *,
        ends: Collection[str] = UPDATED,
    ) -> Operation:
        before = ""

        def attempt() -> None:
            nonlocal before
            current = self.inspect()
            # An attempt that failed may have been taken all the same.
            before = before or image_of(current["Spec"])
            change(current)

        started = time.time()
        submit(attempt, what=f"change of service {self.name}", timeout=timeout)
        has_failed = True
        try:
            self.wait_converged(image, superseded, timeout, ends=ends)
            has_failed = False
        finally:
            # Clients met it, however it ended.
            finished = time.time()
            replaced = replacements(self.transitions, started, finished)
            images = () if image is None or image == before else (before, image)
            name = f"failed {name}" if has_failed else name
            operation = Operation(name, started, finished, replaced, images, has_failed)
            self.cluster.operations.append(operation)
        return operation

    def _put(self, change: Callable[[Spec], Spec], current: Spec) -> None:
        send_spec(self.cluster.api, self.id, change(current["Spec"]), current["Version"]["Index"])

    def _ask_to_roll_back(self, current: Spec) -> None:
        send_spec(self.cluster.api, self.id, current["Spec"], current["Version"]["Index"], rollback="previous")

    def _containers_gone(self) -> Done[None] | NotYet:
        filters = {"label": f"{SERVICE_LABEL}={self.id}"}
        for node in self.cluster.nodes:
            if node.is_down:
                continue
            left = node.client.api.containers(all=True, filters=filters)
            if left:
                return NotYet(f"{len(left)} containers are left on {node.name}")
        return Done(None)
