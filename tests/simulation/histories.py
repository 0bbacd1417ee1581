"""Random histories: users and misfortune act on a simulated cluster, then it must come to rest as asked.

A history is its seed. Those whose seed is a multiple of three are calm: nothing fails, and no service may ever have
fewer ready tasks than its update's parallelism allows. Those whose seed leaves 4 when divided by 5 have jobs.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from orchestrator.model.container import ContainerSpec
from orchestrator.model.network import Network
from orchestrator.model.node import Availability, Node, NodeSpec
from orchestrator.model.service import (
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
    default_update_config,
)
from orchestrator.state.actions import (
    CreateNetwork,
    CreateService,
    RemoveService,
    RollbackService,
    UpdateNodeSpec,
    UpdateService,
)
from orchestrator.testing.simulated_agent import BAD_IMAGE, CRASHING_IMAGE
from orchestrator.testing.simulated_cluster import SimulatedCluster
from tests.simulation.happenings import Happened, happened
from tests.simulation.peace import LITTLE, MUCH, Peace
from tests.simulation.promises import fewest_ready, is_at_rest


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
        self._pulls = Random(f"pulls {seed}")
        """As those."""
        self._network_ids: list[str] = []
        self._names = 0
        self._gone: list[str] = []
        """Nodes that die and never come back."""
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
        cluster.conditions.slow_pull = self._pulls.choice((0.0, 0.0, 0.05))
        self._create_networks()
        self._create()
        for _ in range(self.random.randint(5, 14)):
            self._pass(self.random.choice((0.01, 0.1, 1.0, 4.0, 15.0)) * self.random.uniform(0.5, 1.5))
            self.random.choices(self._deeds, self._weights)[0]()
        Peace(cluster, self._gone, self._network_ids).come()
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
