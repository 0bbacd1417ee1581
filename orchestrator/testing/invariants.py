"""What must hold after every step of a simulated cluster: ARCHITECTURE.md's promises as code."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address

from orchestrator.control.loop import reconcile
from orchestrator.control.plan import Plan, Situation
from orchestrator.control.withdrawal import switches_for
from orchestrator.model.subnets import overlaps, subnet_of
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state import actions as act
from orchestrator.state.cluster_state import ClusterState
from orchestrator.testing.simulated_agent import SimulatedAgent
from orchestrator.testing.simulated_clock import SimulatedClock

_ENDPOINT_ORDER = tuple(EndpointState)
_LOOKS_WITHOUT_CHANGE = 4


class InvariantBroken(AssertionError):
    """The cluster broke a promise."""


class Invariants:
    """Watches every committed batch and every container that is about to be stopped."""

    def __init__(self, state: ClusterState, clock: SimulatedClock, agents: Mapping[str, SimulatedAgent]) -> None:
        self.floors: dict[str, int] = {}
        """Fewest ready tasks a service may have now, by service id; set by histories without failures."""
        self.log: list[tuple[float, act.Action]] = []
        """Every committed action with its time, for whoever reads a failure."""
        self._up_at_release: dict[str, tuple[str, ...]] = {}
        """By task id: the nodes that were up when its endpoint was released."""
        self._lost_nodes: dict[str, None] = {}
        """Ids of nodes that were out of sight at any time."""
        self._looks = 0
        self._looked_at = -1
        self._state = state
        self._clock = clock
        self._agents = agents

    @contextmanager
    def watch(self, batch: act.Batch) -> Iterator[None]:
        """Check what the batch does."""
        ids = [task_id for action in batch.actions if (task_id := getattr(action, "task_id", None)) is not None]
        before = {task_id: self._state.tasks[task_id] for task_id in ids if task_id in self._state.tasks}
        yield
        self.log.extend((self._clock.now, action) for action in batch.actions)
        up = tuple(node.id for node in self._state.nodes.values() if node.is_ready)
        for action in batch.actions:
            if isinstance(action, act.ReleaseEndpoint):
                self._up_at_release[action.task_id] = up
        for task_id, task in before.items():
            after = self._state.tasks.get(task_id)
            if after is not None:
                self._check_order(task, after)
                self._check_readiness(after)
        if any(
            isinstance(action, act.AllocateTask | act.SetNodeGateway | act.AllocateService) for action in batch.actions
        ):
            self._check_addresses()
            self._check_shares()
        self._check_floors()
        self._check_jobs()

    def check_nothing_is_overlooked(self, situation: Situation, plan: Plan) -> None:
        """Check that who looks at all comes to the same verdict: nothing is to be done until then.

        While nothing is written that is looked at again only now and then: it is half the time of a history.
        """
        is_new = self._looked_at != self._state.mutations
        self._looks += 1
        if not is_new and self._looks % _LOOKS_WITHOUT_CHANGE:
            return
        self._looked_at = self._state.mutations
        ids = itertools.count()
        whole = reconcile(replace(situation, new_id=lambda: f"unseen-{next(ids)}", since=None))
        if whole.actions:
            raise InvariantBroken(f"overlooked by the deciders: {whole.actions}")
        if whole.wake_at is not None and (plan.wake_at is None or plan.wake_at > whole.wake_at):
            raise InvariantBroken(f"the deciders look again at {plan.wake_at} instead of {whole.wake_at}")

    def before_stop(self, task: Task) -> None:
        """Check that nobody can miss the container of the task, which its node is about to stop."""
        known = self._state.tasks.get(task.id)
        switches = switches_for(self._state, task)
        for agent in self._agents.values():
            node = self._state.nodes.get(agent.node_id)
            if node is None or not node.is_ready or not agent.alive:
                continue
            if switches.withdraw and task.id in agent.routes:
                raise InvariantBroken(f"{task.container_name} stops while {node.id} sends to it")
            if known is None or not switches.drain or not self._counted(node.id, task.id):
                continue
            if not switches.withdraw and node.id != task.node_id:
                # It is not waited for, so what goes through it is not known.
                continue
            in_time = self._clock.now < known.withdrawn_at + switches.drain_timeout
            if in_time and known.withdrawn_at and agent.has_connections(task.id):
                raise InvariantBroken(f"{task.container_name} stops while {node.id} has connections to it")

    def _counted(self, node_id: str, task_id: str) -> bool:
        """Whether connections through the node had to be waited for: those of one down at the release are given up.

        A task that was never released has no excuse.
        """
        up = self._up_at_release.get(task_id)
        return up is None or node_id in up

    def ready(self, service_id: str) -> int:
        """Tasks of the service that answer."""
        return sum(
            task.endpoint is EndpointState.SERVING and self._is_up(task)
            for task in self._state.tasks_of_service(service_id)
        )

    def _is_up(self, task: Task) -> bool:
        node = self._state.nodes.get(task.node_id)
        return node is not None and node.is_ready

    def _check_order(self, before: Task, after: Task) -> None:
        if after.status.state < before.status.state:
            raise InvariantBroken(f"{after.id} went back from {before.status.state!r} to {after.status.state!r}")
        if after.desired_state < before.desired_state:
            raise InvariantBroken(f"{after.id} is wanted {after.desired_state!r} after {before.desired_state!r}")
        if _ENDPOINT_ORDER.index(after.endpoint) < _ENDPOINT_ORDER.index(before.endpoint):
            raise InvariantBroken(f"{after.id}: endpoint {after.endpoint} after {before.endpoint}")

    def _check_readiness(self, task: Task) -> None:
        """Balancers get only what its node has called running, which it does behind the readiness gate."""
        if task.endpoint is EndpointState.SERVING and task.status.state is not TaskState.RUNNING:
            raise InvariantBroken(f"{task.container_name} serves while it is {task.status.state.name.lower()}")

    def _check_addresses(self) -> None:
        held: dict[tuple[str, str], str] = {}
        for holder, network_id, address in self._addresses():
            other = held.setdefault((network_id, address), holder)
            if other != holder:
                raise InvariantBroken(f"{holder} and {other} have the same address {address}")

    def _addresses(self) -> Iterator[tuple[str, str, str]]:
        for node in self._state.nodes.values():
            yield from ((node.id, network_id, address) for network_id, address in node.gateways)
        for service in self._state.services.values():
            for network_id, address in service.virtual_addresses:
                yield service.id, network_id, address.partition("/")[0]
        for task in self._state.tasks.values():
            if not task.is_gone:
                for attachment in task.attachments:
                    yield task.id, attachment.network_id, attachment.address
                    if attachment.virtual_address:
                        yield task.service_id, attachment.network_id, attachment.virtual_address

    def _check_shares(self) -> None:
        """What nodes' engines give out by themselves is nobody else's."""
        for node in self._state.nodes.values():
            for shared, block in node.attachment_ranges:
                share = subnet_of(block)
                for holder, network_id, address in self._addresses():
                    if network_id == shared and IPv4Address(address) in share:
                        raise InvariantBroken(f"{holder} has {address}, which is of the share of {node.id}")
                for other in self._state.nodes.values():
                    blocks = [text for key, text in other.attachment_ranges if key == shared and other is not node]
                    if any(overlaps(block, text) for text in blocks):
                        raise InvariantBroken(f"{node.id} and {other.id} share {block}")

    def _check_jobs(self) -> None:
        """No more at a time than allowed, and no slot completes twice in an iteration: lost nodes' tasks aside.

        A task that completed on a node out of sight has been replaced; both count when the node is back.
        """
        self._lost_nodes.update({node.id: None for node in self._state.nodes.values() if not node.is_ready})
        for service in self._state.services.values():
            if not service.spec.is_job:
                continue
            tasks = [t for t in self._state.tasks_of_service(service.id) if t.job_iteration == service.job_iteration]
            seen = [task for task in tasks if task.node_id not in self._lost_nodes]
            completed = [t.slot or t.node_id for t in seen if t.status.state is TaskState.COMPLETE]
            if len(completed) != len(set(completed)):
                raise InvariantBroken(f"a slot of job {service.name} completed twice: {completed}")
            live = {task.slot for task in tasks if task.is_live}
            limit = service.spec.max_concurrent
            if limit is not None and len(live) > limit:
                raise InvariantBroken(f"job {service.name} runs {len(live)} at a time, allowed are {limit}")

    def _check_floors(self) -> None:
        for service_id, floor in self.floors.items():
            if service_id in self._state.services and (ready := self.ready(service_id)) < floor:
                raise InvariantBroken(f"service {service_id} has {ready} tasks ready, promised are {floor}")


def leaked(state: ClusterState) -> list[str]:
    """What is left of networks in a cluster without services whose user has removed all networks of his."""
    left = [f"network {network.name}" for network in state.networks.values() if not network.ingress]
    meshes = [network.id for network in state.networks.values() if network.ingress]
    for node in state.nodes.values():
        held = (*node.gateways, *node.attachment_ranges)
        left.extend(f"{node.id} has {text}" for network_id, text in held if network_id not in meshes)
    return left


def unsettled(state: ClusterState) -> list[str]:
    """What keeps the cluster from being as its services ask; empty when it is."""
    problems = [f"{task.id} is {task.endpoint}" for task in state.leaving_tasks]
    for service in state.services.values():
        running: dict[int | str, list[Task]] = {}
        for task in state.tasks_of_service(service.id):
            node = state.nodes.get(task.node_id)
            is_lost = node is not None and not node.is_ready
            if task.is_live and is_lost:
                problems.append(f"{task.container_name} is on a dead node")
            elif task.status.state is TaskState.PENDING and node is not None and not node.accepts_tasks:
                continue  # A global service's, which waits for its node.
            elif task.is_live:
                running.setdefault(task.slot or task.node_id, []).append(task)
            elif not task.status.state.is_terminal and not is_lost:
                # Of a lost node nobody knows; its tasks are given up after a day.
                problems.append(f"{task.container_name} is not over")
        for key, tasks in running.items():
            if len(tasks) > 1:
                problems.append(f"slot {key} of {service.name} holds {[task.id for task in tasks]}")
        if service.spec.is_job:
            if running:
                problems.append(f"job {service.name} is not done")
            continue
        states = [task.status.state for tasks in running.values() for task in tasks]
        if any(state is not TaskState.RUNNING for state in states):
            problems.append(f"{service.name} has tasks {[state.name for state in states]}")
    return problems
