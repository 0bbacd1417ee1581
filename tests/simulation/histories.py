"""Random histories: users and misfortune act on a simulated cluster, then it must come to rest as asked.

A history is its seed. Those whose seed is a multiple of three are calm: nothing fails, and no service may ever have
fewer ready tasks than its update's parallelism allows. Those whose seed leaves 4 when divided by 5 have jobs.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from orchestrator.model.network import Network
from orchestrator.model.node import Availability, Node, NodeRole, NodeSpec
from orchestrator.model.service import (
    ContainerSpec,
    EndpointSpec,
    FailureAction,
    NetworkReference,
    Placement,
    PortConfig,
    Resources,
    RestartCondition,
    RestartPolicy,
    Service,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
    default_update_config,
)
from orchestrator.state.actions import (
    Action,
    CreateNetwork,
    CreateService,
    ExplainPending,
    RemoveNetwork,
    RemoveNode,
    RemoveService,
    RollbackService,
    SetUpdateStatus,
    UpdateNodeSpec,
    UpdateService,
)
from orchestrator.testing.invariants import InvariantBroken, leaked
from orchestrator.testing.simulated_agent import BAD_IMAGE, CRASHING_IMAGE, Conditions
from orchestrator.testing.simulated_cluster import SimulatedCluster
from tests.simulation.promises import fewest_ready, is_at_rest, problems_of

REST_WITHIN_S = 400.0
"""Simulated seconds after the last disturbance within which the cluster must be as asked.

Silence of a node counts after 30 s at most, a drain lasts 60 s at most, an update of 6 slots takes a minute or two.
"""

REASONS_TO_WAIT = ("insufficient resources", "scheduling constraints", "max replicas", "not available")
"""Of the scheduler, in its own words."""

LITTLE, MUCH = Resources(200_000_000, 256 << 20), Resources(1_500_000_000, 3 << 30)
"""What tasks reserve; a node has four processors and 8 GiB."""


Happened = Counter[str]
"""What a history had in it, and how often: to see that the promises were put to the test."""


def happened(log: Iterable[tuple[float, Action]]) -> Happened:
    """Every kind of action, and of those that matter here, what of."""
    counts: Happened = Counter()
    for _, action in log:
        counts[type(action).__name__] += 1
        match action:
            case CreateService(service=service):
                counts[f"{service.spec.mode} service"] += 1
            case RollbackService(between=between):
                counts["rollback by hand" if between is None else "rollback by failure"] += 1
            case SetUpdateStatus(status=status):
                counts[f"update {status.state}"] += 1
            case UpdateNodeSpec(spec=spec):
                counts[f"node {spec.availability}"] += 1
            case ExplainPending(error=error):
                counts.update(reason for reason in REASONS_TO_WAIT if reason in error)
    return counts


class History:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"history {seed}")
        self.cluster = SimulatedCluster(seed, nodes=self.random.randint(3, 5))
        self.is_calm = seed % 3 == 0
        self.has_jobs = seed % 5 == 4
        self._networks = Random(f"networks {seed}")
        """Dice of their own, so that histories of before there were networks stay as they were."""
        self._resources = Random(f"resources {seed}")
        """As those."""
        self._network_ids: list[str] = []
        self._names = 0
        self._gone: list[str] = []
        """Nodes that die and never come back."""
        self._left_paused = ""
        """A node that takes no tasks until all else has come to rest."""
        self._constrained: set[str] = set()
        """Services that at some time could not run everywhere."""
        self._wished_at: dict[str, float] = {}
        """When the user last asked something of a service."""

    def run(self) -> Happened:
        """Let everything happen, and say what did; raises `InvariantBroken`."""
        cluster = self.cluster
        self._pass(self.random.uniform(1.0, 5.0))
        if not self.is_calm:
            self._make_rough()
        self._create_networks()
        self._create()
        for _ in range(self.random.randint(5, 14)):
            self._pass(self.random.choice((0.01, 0.1, 1.0, 4.0, 15.0)) * self.random.uniform(0.5, 1.5))
            self.random.choices(self._deeds, self._weights)[0]()
        self._make_peace()
        self._come_to_rest()
        if self._left_paused:
            self._left_paused = ""
            self._heal_nodes()
            self._come_to_rest()
        self._clear_away()
        return happened(cluster.invariants.log)

    # What happens ------------------------------------------------------------------------------------------

    @property
    def _deeds(self) -> list[Callable[[], None]]:
        wishes = [self._create, self._scale, self._update, self._update, self._rollback, self._remove]
        wishes += [self._change_availability, self._think_twice, self._flap, self._relabel]
        faults = [self._kill, self._partition, self._change_leader, self._break_session]
        return wishes if self.is_calm else wishes + faults

    @property
    def _weights(self) -> list[int]:
        wishes = [2, 3, 4, 2, 1, 1, 2, 2, 1, 1]
        return wishes if self.is_calm else [*wishes, 2, 1, 1, 1]

    def _make_rough(self) -> None:
        conditions = self.cluster.conditions
        conditions.failure = self.random.choice((0.0, 0.02, 0.1))
        conditions.slow_network = self.random.choice((0.0, 0.01, 0.05))
        conditions.longest_connection = self.random.choice((0.5, 3.0, 90.0))
        self.cluster.message_loss = self.random.choice((0.0, 0.01, 0.03))

    def _create(self) -> None:
        if len(self.cluster.state.services) >= 3:
            return
        self._names += 1
        if self.has_jobs and self.random.random() < 0.4:
            self._create_job()
            return
        mode = ServiceMode.GLOBAL if self.random.random() < 0.2 else ServiceMode.REPLICATED
        published = 8000 + self._names if self.random.random() < 0.6 else 0
        ports = (PortConfig(80, published),) if self.random.random() < 0.8 else ()
        spec = ServiceSpec(
            name=f"service{self._names}",
            task=self._task_spec("good:1"),
            labels=self._labels(),
            mode=mode,
            replicas=self.random.randint(0, 6) if mode is ServiceMode.REPLICATED else None,
            update=self._update_config(),
            rollback=self._update_config(),
            endpoint=EndpointSpec(ports=ports),
        )
        service_id = self.cluster.new_id()
        if spec.task.placement is not None and spec.task.placement.constraints:
            self._constrained.add(service_id)
        self.cluster.propose((CreateService(Service(service_id, spec, 0)),))

    def _create_job(self) -> None:
        mode = self.random.choice((ServiceMode.REPLICATED_JOB, ServiceMode.GLOBAL_JOB))
        counted = mode is ServiceMode.REPLICATED_JOB
        spec = ServiceSpec(
            name=f"job{self._names}",
            task=self._task_spec("good:1"),
            mode=mode,
            max_concurrent=self.random.randint(1, 4) if counted else None,
            total_completions=self.random.randint(1, 8) if counted else None,
        )
        self.cluster.propose((CreateService(Service(self.cluster.new_id(), spec, 0)),))

    def _task_spec(self, image: str) -> TaskSpec:
        restart = None
        if not self.is_calm and self.random.random() < 0.3:
            restart = RestartPolicy(
                condition=self.random.choice(list(RestartCondition)),
                delay=self.random.choice((0.0, 1.0, 5.0)),
                max_attempts=self.random.choice((0, 0, 2)),
                window=self.random.choice((0.0, 30.0)),
            )
        constraints = (f"node.labels.zone=={self.random.choice('ab')}",) if self.random.random() < 0.15 else ()
        limit = 1 if not self.is_calm and self.random.random() < 0.1 else 0
        return TaskSpec(
            ContainerSpec(image),
            restart=restart,
            reservations=self._reservations(),
            placement=Placement(constraints, max_replicas=limit),
            networks=self._chosen_networks(),
        )

    def _reservations(self) -> Resources | None:
        """None, little, or so much that tasks wait for a node with room, which breaks no promise in a rough history."""
        chosen = self._resources.random()
        if chosen < 0.7:
            return None
        return LITTLE if self.is_calm or chosen < 0.85 else MUCH

    def _create_networks(self) -> None:
        """Two, one of them attachable and with a share for every node."""
        for number in range(2):
            network_id = self.cluster.new_id()
            network = Network(network_id, f"net{number}", f"10.1.{number}.0/24", 5000 + number, attachable=number == 0)
            self.cluster.propose((CreateNetwork(network),))
            self._network_ids.append(network_id)
        self._pass(0.1)
        if len(self.cluster.state.networks) < len(self._network_ids):
            # Nobody led just then.
            self._network_ids = [key for key in self._network_ids if key in self.cluster.state.networks]

    def _chosen_networks(self) -> tuple[NetworkReference, ...]:
        return tuple(NetworkReference(key) for key in self._network_ids if self._networks.random() < 0.4)

    def _labels(self) -> tuple[tuple[str, str], ...]:
        chosen = self.random.random()
        if chosen < 0.1:
            return (("swarm.withdraw", "off"),)
        if chosen < 0.2:
            return (("swarm.drain", "off"),)
        return ()

    def _update_config(self) -> UpdateConfig:
        actions = (FailureAction.PAUSE, FailureAction.CONTINUE, FailureAction.ROLLBACK)
        return UpdateConfig(
            parallelism=self.random.choice((0, 1, 1, 2)),
            delay=self.random.choice((0.0, 0.0, 2.0)),
            failure_action=self.random.choice(actions),
            monitor=self.random.choice((0.0, 2.0, 5.0)),
            max_failure_ratio=self.random.choice((0.0, 0.0, 0.3)),
            order=self.random.choice(list(UpdateOrder)),
        )

    def _pick(self) -> Service | None:
        services = list(self.cluster.state.services.values())
        return self.random.choice(services) if services else None

    def _scale(self) -> None:
        service = self._pick()
        if service is not None and service.spec.mode is ServiceMode.REPLICATED:
            replicas = self.random.randint(0, 6)
            self._guard(service, replicas, default_update_config(service.spec.update))
            self._wish(service, replace(service.spec, replicas=replicas))

    def _update(self, service: Service | None = None) -> None:
        service = service or self._pick()
        if service is None:
            return
        images = ["good:1", "good:2", "good:3"] if self.is_calm else ["good:1", "good:2", BAD_IMAGE, CRASHING_IMAGE]
        spec = replace(service.spec, task=self._task_spec(self.random.choice(images)))
        if self.random.random() < 0.3 and not spec.is_job:
            spec = replace(spec, update=self._update_config())
        if spec.task.placement is not None and spec.task.placement.constraints:
            self._constrained.add(service.id)
        self._guard(service, spec.desired_replicas, default_update_config(spec.update))
        self._wish(service, spec)

    def _wish(self, service: Service, spec: ServiceSpec) -> None:
        self.cluster.propose((UpdateService(service.id, service.version, spec),))

    def _rollback(self, service: Service | None = None) -> None:
        service = service or self._pick()
        if service is not None and service.previous_spec is not None:
            previous = service.previous_spec
            self._guard(service, previous.desired_replicas, default_update_config(previous.rollback))
            self.cluster.propose((RollbackService(service.id, service.version),))

    def _remove(self) -> None:
        service = self._pick()
        if service is not None:
            self.cluster.propose((RemoveService(service.id),))

    def _change_availability(self) -> None:
        node = self.random.choice(list(self.cluster.state.nodes.values()))
        availability = self.random.choice(list(Availability))
        others = [n for n in self.cluster.state.nodes.values() if n is not node and n.accepts_tasks]
        if availability is not Availability.ACTIVE and len(others) < 2:
            availability = Availability.ACTIVE
        self._set_node(node, replace(node.spec, availability=availability))

    def _think_twice(self) -> None:
        """Change one service twice, or take the first change back, before it is done."""
        service = self._pick()
        if service is None:
            return
        self._update(service)
        self._pass(self.random.uniform(0.05, 4.0))
        current = self.cluster.state.services.get(service.id)
        if current is not None:
            self.random.choice((self._update, self._rollback))(current)

    def _flap(self) -> None:
        """Drain a node and change one's mind."""
        node = self.random.choice(list(self.cluster.state.nodes.values()))
        if any(n is not node and n.accepts_tasks for n in self.cluster.state.nodes.values()):
            self._set_node(node, replace(node.spec, availability=Availability.DRAIN))
            self._pass(self.random.uniform(0.05, 3.0))
            node = self.cluster.state.node(node.id)
            self._set_node(node, replace(node.spec, availability=Availability.ACTIVE))

    def _relabel(self) -> None:
        node = self.random.choice(list(self.cluster.state.nodes.values()))
        self._set_node(node, replace(node.spec, labels=(("zone", self.random.choice("ab")),)))

    def _set_node(self, node: Node, spec: NodeSpec) -> None:
        self.cluster.propose((UpdateNodeSpec(node.id, node.version, spec),))

    def _kill(self) -> None:
        node_id = self.random.choice(list(self.cluster.agents))
        self.cluster.kill(node_id)
        if not self._gone and self.random.random() < 0.2:
            self._gone.append(node_id)
            return
        self.cluster.clock.call_later(self.random.choice((1.0, 40.0)), lambda: self._revive(node_id))

    def _revive(self, node_id: str) -> None:
        if node_id not in self._gone:
            self.cluster.revive(node_id)

    def _partition(self) -> None:
        node_id = self.random.choice(list(self.cluster.agents))
        if self.cluster.agents[node_id].alive:
            self.cluster.break_session(node_id, after=self.random.uniform(5.0, 60.0))

    def _break_session(self) -> None:
        node_id = self.random.choice(list(self.cluster.agents))
        if self.cluster.agents[node_id].alive:
            self.cluster.break_session(node_id)

    def _change_leader(self) -> None:
        if self.cluster.has_leader:
            self.cluster.change_leader(self.random.uniform(0.5, 12.0))

    # What is promised --------------------------------------------------------------------------------------

    def _guard(self, service: Service, replicas: int, config: UpdateConfig) -> None:
        """In a calm history: from now on the service may not fall below what the update allows."""
        floors = self.cluster.invariants.floors
        if not self.is_calm or service.spec.mode is not ServiceMode.REPLICATED:
            return
        if service.id in self._constrained:
            # Where no other node suits, a drain stops tasks before their replacements run.
            floors.pop(service.id, None)
            return
        now = service.spec.desired_replicas
        clock = self.cluster.clock
        # A wish made this moment is not committed yet: the service only seems to be at rest.
        if is_at_rest(self.cluster.state, service) and clock.now > self._wished_at.get(service.id, 0.0) + 0.1:
            floors[service.id] = now
        self._wished_at[service.id] = clock.now
        if service.id in floors:
            floors[service.id] = max(min(floors[service.id], fewest_ready(service, replicas, config), replicas), 0)

    # The end -----------------------------------------------------------------------------------------------

    def _make_peace(self) -> None:
        """End all misfortune and every wish that cannot be met."""
        cluster = self.cluster
        calm = Conditions()
        cluster.conditions.failure, cluster.conditions.slow_network = calm.failure, calm.slow_network
        cluster.conditions.longest_connection = calm.longest_connection
        cluster.message_loss = 0.0
        self._pass(12.0)
        for node_id in cluster.agents:
            self._revive(node_id)
        self._left_paused = self._dispensable_paused_node()
        self._heal_nodes()
        self._until_accepted(lambda: [self._heal_service(service) for service in cluster.state.services.values()])

    def _dispensable_paused_node(self) -> str:
        """A paused node without which there is room for all, of either zone; empty when there is none."""
        others = [node for node in self.cluster.state.nodes.values() if node.id not in self._gone][1:]
        paused = [node.id for node in others if node.spec.availability is Availability.PAUSE]
        return paused[0] if paused and len(others) > 1 else ""

    def _heal_nodes(self) -> None:
        self._until_accepted(lambda: [self._heal_node(node) for node in self.cluster.state.nodes.values()])

    def _until_accepted(self, wishes: Callable[[], list[Action | None]]) -> None:
        for _ in range(50):
            actions: list[Action] = [action for action in wishes() if action is not None]
            if not actions:
                return
            for action in actions:
                self.cluster.propose((action,))
            self._pass(0.5)
        raise InvariantBroken("the cluster takes no wishes any more")

    def _clear_away(self) -> None:
        """Remove everything; what services and networks held is free again when the last task is over.

        Of tasks on a dead node nobody knows whether they are: the operator removes it, unless it is a manager.
        """
        state = self.cluster.state
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
        deadline = self.cluster.clock.now + REST_WITHIN_S
        while left := leaked(state):
            if self.cluster.clock.now >= deadline:
                raise InvariantBroken(f"left behind: {'; '.join(left)}")
            self._pass(1.0)

    def _heal_node(self, node: Node) -> Action | None:
        numbers = [other for other in self.cluster.state.nodes if other not in self._gone]
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
        limited = service.spec.task.placement is not None and service.spec.task.placement.max_replicas
        if service.spec.is_job:
            going_back = False
        hungry = service.spec.task.reservations == MUCH
        if not (paused or broken or going_back or limited or hungry):
            return None
        task = replace(service.spec.task, container=ContainerSpec("good:9"), restart=None)
        if limited:
            task = replace(task, placement=None)
        if hungry:
            task = replace(task, reservations=LITTLE)
        return UpdateService(service.id, service.version, replace(service.spec, task=task))

    def _come_to_rest(self) -> None:
        deadline = self.cluster.clock.now + REST_WITHIN_S
        while problems := problems_of(self.cluster, self._gone):
            if self.cluster.clock.now >= deadline:
                raise InvariantBroken(f"no rest after {REST_WITHIN_S} s: {'; '.join(problems)}")
            self._pass(5.0)

    def _pass(self, seconds: float) -> None:
        self.cluster.clock.run_until(self.cluster.clock.now + seconds)


def lived(seed: int) -> tuple[str, Happened]:
    """What went wrong in the history and how to repeat it, empty when all went well; and what was in it.

    Runs in any process.
    """
    try:
        return "", History(seed).run()
    except Exception as error:  # noqa: BLE001 - whatever breaks a history is a finding
        repeat = f"SIMULATION_SEED={seed} python -m pytest tests/simulation -k one_history"
        return f"seed {seed}: {type(error).__name__}: {error}\n  repeat: {repeat}", Counter()


def trouble_in(seed: int) -> str:
    """What went wrong in the history; empty when all went well."""
    return lived(seed)[0]
