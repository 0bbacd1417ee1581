"""How every history ends: misfortune ceases, the cluster comes to rest as asked, and everything is removed again."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.control.constraints import node_matches
from orchestrator.model.container import ContainerSpec
from orchestrator.model.node import Availability, Node, NodeRole
from orchestrator.model.service import (
    Resources,
    Service,
    ServiceMode,
    ServiceSpec,
    UpdateOrder,
    UpdateState,
    default_update_config,
)
from orchestrator.state.actions import Action, RemoveNetwork, RemoveNode, RemoveService, UpdateNodeSpec, UpdateService
from orchestrator.testing.invariants import InvariantBroken, leaked
from orchestrator.testing.simulated_agent import BAD_IMAGE, CRASHING_IMAGE, Conditions
from orchestrator.testing.simulated_cluster import SimulatedCluster
from tests.simulation.promises import problems_of

LITTLE, MUCH = Resources(200_000_000, 256 << 20), Resources(1_500_000_000, 3 << 30)
"""What tasks reserve; a node has four processors and 8 GiB. Who reserved much may not have found it."""

REST_WITHIN_S = 400.0
"""Simulated seconds after the last disturbance within which the cluster must be as asked.

Silence of a node counts after 30 s at most, a drain lasts 60 s at most, an update of 6 slots takes a minute or two.
"""


class Peace:
    """For a cluster some nodes of which are gone for good, and with these networks."""

    def __init__(self, cluster: SimulatedCluster, gone: Sequence[str], network_ids: Sequence[str]) -> None:
        self._cluster = cluster
        self._gone = gone
        self._network_ids = network_ids
        self._left_paused = ""
        """A node that takes no tasks until all else has come to rest."""

    def come(self) -> None:
        """Raises `InvariantBroken`."""
        self._make_peace()
        self._come_to_rest()
        if self._left_paused:
            self._left_paused = ""
            self._heal_nodes()
            self._come_to_rest()
        self._clear_away()

    def _make_peace(self) -> None:
        """End all misfortune and every wish that cannot be met."""
        cluster = self._cluster
        calm = Conditions()
        cluster.conditions.failure, cluster.conditions.slow_network = calm.failure, calm.slow_network
        cluster.conditions.slow_pull = calm.slow_pull
        cluster.conditions.longest_connection = calm.longest_connection
        cluster.message_loss = 0.0
        self._pass(12.0)
        for node_id in cluster.agents:
            if node_id not in self._gone:
                cluster.revive(node_id)
        self._left_paused = self._dispensable_paused_node()
        self._heal_nodes()
        self._until_accepted(lambda: [self._heal_service(service) for service in cluster.state.services.values()])

    def _dispensable_paused_node(self) -> str:
        """A paused node without which there is room for all, of either zone; empty when there is none."""
        others = [node for node in self._cluster.state.nodes.values() if node.id not in self._gone][1:]
        paused = [node.id for node in others if node.spec.availability is Availability.PAUSE]
        return paused[0] if paused and len(others) > 1 else ""

    def _heal_nodes(self) -> None:
        self._until_accepted(lambda: [self._heal_node(node) for node in self._cluster.state.nodes.values()])

    def _until_accepted(self, wishes: Callable[[], list[Action | None]]) -> None:
        for _ in range(50):
            actions: list[Action] = [action for action in wishes() if action is not None]
            if not actions:
                return
            for action in actions:
                self._cluster.propose((action,))
            self._pass(0.5)
        raise InvariantBroken("the cluster takes no wishes any more")

    def _clear_away(self) -> None:
        """Remove everything; what services and networks held is free again when the last task is over.

        Of tasks on a dead node nobody knows whether they are: the operator removes it, unless it is a manager.
        """
        state = self._cluster.state
        dead = [state.nodes[node_id] for node_id in self._gone if node_id in state.nodes]
        if any(node.role is NodeRole.MANAGER for node in dead):
            return
        self._until_accepted(lambda: [RemoveNode(node.id, force=True) for node in dead if node.id in state.nodes])
        self._until_accepted(lambda: [RemoveService(service.id) for service in state.services.values()])
        self._until_accepted(
            lambda: [
                RemoveNetwork(key) for key in self._network_ids if (n := state.networks.get(key)) and not n.removing
            ]
        )
        deadline = self._cluster.clock.now + REST_WITHIN_S
        while left := leaked(state):
            if self._cluster.clock.now >= deadline:
                raise InvariantBroken(f"left behind: {'; '.join(left)}")
            self._pass(1.0)

    def _heal_node(self, node: Node) -> Action | None:
        numbers = [other for other in self._cluster.state.nodes if other not in self._gone]
        zone = "a" if node.id == numbers[0] else "b"
        availability = Availability.PAUSE if node.id == self._left_paused else Availability.ACTIVE
        spec = replace(node.spec, availability=availability, labels=(("zone", zone),))
        return None if spec == node.spec else UpdateNodeSpec(node.id, node.version, spec)

    def _heal_service(self, service: Service) -> Action | None:
        status = service.update_status
        paused = status is not None and status.state in (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)
        broken = service.spec.task.container.image in (BAD_IMAGE, CRASHING_IMAGE)
        going_back = service.previous_spec is not None and service.previous_spec.task.container.image in (
            BAD_IMAGE,
            CRASHING_IMAGE,
        )
        if service.spec.is_job:
            going_back = False
        hungry = service.spec.task.reservations == MUCH
        spec = self._with_room(service.spec)
        if paused or broken or going_back or hungry:
            task = replace(spec.task, container=ContainerSpec("good:9"), restart=None)
            spec = replace(spec, task=replace(task, reservations=LITTLE) if hungry else task)
        return None if spec == service.spec else UpdateService(service.id, service.version, spec)

    def _with_room(self, spec: ServiceSpec) -> ServiceSpec:
        """Not more replicas than there may be on the nodes, and none that waits until another makes room for it."""
        placement = spec.task.placement
        if placement is None or not placement.max_replicas or spec.is_job:
            return spec
        if spec.mode is ServiceMode.REPLICATED:
            suits = sum(
                node.accepts_tasks and node_matches(node, placement.constraints)
                for node in self._cluster.state.nodes.values()
                if node.id not in self._gone
            )
            spec = replace(spec, replicas=min(spec.desired_replicas, suits * placement.max_replicas))
        return replace(spec, update=replace(default_update_config(spec.update), order=UpdateOrder.STOP_FIRST))

    def _come_to_rest(self) -> None:
        deadline = self._cluster.clock.now + REST_WITHIN_S
        while problems := problems_of(self._cluster, self._gone):
            if self._cluster.clock.now >= deadline:
                raise InvariantBroken(f"no rest after {REST_WITHIN_S} s: {'; '.join(problems)}")
            self._pass(5.0)

    def _pass(self, seconds: float) -> None:
        self._cluster.clock.run_until(self._cluster.clock.now + seconds)
