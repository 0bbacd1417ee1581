"""A whole cluster on a simulated clock: the real state, `apply` and deciders; invented nodes, network and elections.

Messages of one session arrive in order and after a delay; a lost one ends the session, as TCP would, and the next
session tells everything anew. Nothing here knows what the cluster is for: tests bring the wishes and the faults.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from orchestrator.control.loop import Reconciler
from orchestrator.control.names import CommonNames, common_names
from orchestrator.control.network_configuration import balanced_services, configuration_for, tasks_for
from orchestrator.control.plan import Plan, Situation
from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import ClusterError
from orchestrator.model.network import BalancedService
from orchestrator.model.node import Node, NodeDescription, NodeRole, NodeSpec
from orchestrator.model.service import Resources
from orchestrator.model.session import Assignments, Heartbeat, NodeObservation, StatusReport
from orchestrator.model.task import Task, TaskStatus
from orchestrator.state.actions import Action, AddNode, Batch, CreateCluster, ReportTaskStatus
from orchestrator.state.apply import apply
from orchestrator.state.cluster_state import ClusterState
from orchestrator.testing.invariants import Invariants
from orchestrator.testing.simulated_agent import Conditions, SimulatedAgent
from orchestrator.testing.simulated_clock import SimulatedClock

MANAGERS = 3


@dataclass(slots=True)
class _Session:
    agent: SimulatedAgent
    number: int
    """Messages of an earlier session are dropped."""
    arrives_up: float = 0.0
    arrives_down: float = 0.0
    sent: Assignments | None = None
    push_is_due: bool = False


@dataclass(frozen=True, slots=True)
class _Shared:
    """What every node is told alike."""

    mutations: int
    services: tuple[BalancedService, ...]
    names: CommonNames


class SimulatedCluster:
    """Nodes, a leader, and what goes between them."""

    def __init__(self, seed: int, nodes: int = 4) -> None:
        self.random = Random(seed)
        self.clock = SimulatedClock()
        self.state = ClusterState()
        self.conditions = Conditions()
        self.message_loss = 0.0
        """Chance of a message to be lost, and its session with it."""
        self.agents: dict[str, SimulatedAgent] = {}
        self.invariants = Invariants(self.state, self.clock, self.agents)
        self.observations: dict[str, NodeObservation] = {}
        self.has_leader = True
        self.leading_since = self.clock.now
        self.plan = Plan()
        """The leader's last plan."""
        self.refused = 0
        """Batches that came too late."""
        self._reconcile = Reconciler()
        self._term = 0
        self._ids = 0
        self._sessions: dict[str, _Session] = {}
        self._session_number = 0
        self._committed_at = 0.0
        self._is_deciding = False
        self._shared: _Shared | None = None
        self._found(nodes)

    # What tests use ----------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """An id that sorts by age."""
        self._ids += 1
        return f"id{self._ids:06d}"

    def propose(self, actions: Sequence[Action], done: Callable[[ClusterError | None], None] | None = None) -> None:
        """Commit a batch after a moment, in the order of the calls; lost when the leader changes meanwhile."""
        term = self._term
        at = self.clock.now
        self._committed_at = max(self._committed_at, at + self.random.uniform(0.004, 0.02))

        def commit() -> None:
            if self._term != term or not self.has_leader:
                return
            refusal = self._apply(Batch(at, tuple(actions)))
            if done is not None:
                done(refusal)

        self.clock.call_at(self._committed_at, commit)

    def change_leader(self, gap: float) -> None:
        """Lose the leader, its memory and all sessions; the next one leads after `gap` seconds."""
        self._term += 1
        self.has_leader = False
        self._is_deciding = False
        for node_id in list(self._sessions):
            self.break_session(node_id)
        self.clock.call_later(gap, self._elected)

    def kill(self, node_id: str) -> None:
        """Power off a node."""
        self.break_session(node_id, reconnect=False)
        self.agents[node_id].die()

    def revive(self, node_id: str) -> None:
        """Power it on again."""
        agent = self.agents[node_id]
        if not agent.alive:
            agent.boot()
            self._connect_soon(agent)

    def break_session(self, node_id: str, reconnect: bool = True, after: float | None = None) -> None:
        """End the node's session; it comes back by itself, `after` seconds later if given."""
        self._sessions.pop(node_id, None)
        if reconnect:
            self._connect_soon(self.agents[node_id], after)

    # The leader --------------------------------------------------------------------------------------------

    def _found(self, nodes: int) -> None:
        made = [
            Node(
                id=f"node{number}",
                spec=NodeSpec(role=NodeRole.MANAGER if number <= MANAGERS else NodeRole.WORKER),
                description=NodeDescription(f"host{number}", resources=Resources(4_000_000_000, 8 << 30)),
                address=f"10.9.0.{number}",
                role=NodeRole.MANAGER if number <= MANAGERS else NodeRole.WORKER,
            )
            for number in range(1, nodes + 1)
        ]
        apply(self.state, Batch(self.clock.now, (CreateCluster(Cluster("cluster")), *map(AddNode, made))))
        for node in made:
            agent = SimulatedAgent(
                node.id, self.clock, self.random, self._from_agent, self.invariants.before_stop, self.conditions
            )
            self.agents[node.id] = agent
            self._connect_soon(agent)
        self._wake()

    def _elected(self) -> None:
        self.has_leader = True
        self.leading_since = self.clock.now
        self.observations.clear()
        self._committed_at = self.clock.now
        self._wake()

    def _wake(self) -> None:
        if self._is_deciding or not self.has_leader:
            return
        self._is_deciding = True
        term = self._term
        self.clock.call_later(0.004, lambda: self._decide(term))

    def _decide(self, term: int) -> None:
        if self._term != term:
            return
        situation = Situation(self.state, self.clock.now, self.new_id, self.observations, self.leading_since)
        self.plan = self._reconcile(situation)
        if self.plan.actions:
            self.propose(self.plan.actions, lambda refusal: self._decided(term, refusal))
            return
        self.invariants.check_nothing_is_overlooked(situation, self.plan)
        self._is_deciding = False
        if self.plan.wake_at is not None:
            self.clock.call_at(self.plan.wake_at, self._wake)

    def _decided(self, term: int, refusal: ClusterError | None) -> None:
        if self._term == term:
            self._is_deciding = False
            if refusal is not None:
                self.refused += 1
            self._wake()

    def _apply(self, batch: Batch) -> ClusterError | None:
        try:
            with self.invariants.watch(batch):
                apply(self.state, batch)
        except ClusterError as refusal:
            return refusal
        for session in self._sessions.values():
            self._push_soon(session)
        self._wake()
        return None

    # Sessions ----------------------------------------------------------------------------------------------

    def _connect_soon(self, agent: SimulatedAgent, after: float | None = None) -> None:
        boots = agent.boots
        delay = self.random.uniform(0.05, 2.0) if after is None else after

        def connect() -> None:
            if agent.boots != boots or not agent.alive or agent.node_id in self._sessions:
                return
            if not self.has_leader or agent.node_id not in self.state.nodes:
                self._connect_soon(agent)
                return
            self._session_number += 1
            session = self._sessions[agent.node_id] = _Session(agent, self._session_number)
            self._up(session, StatusReport(agent.statuses))
            self._up(session, agent.heartbeat)
            self._push_soon(session)
            self._beat(session)

        self.clock.call_later(delay, connect)

    def _beat(self, session: _Session) -> None:
        if self._is_current(session):
            self._up(session, session.agent.heartbeat)
            self.clock.call_later(self.random.uniform(4.5, 5.5), lambda: self._beat(session))

    def _from_agent(self, agent: SimulatedAgent, message: Heartbeat | StatusReport) -> None:
        session = self._sessions.get(agent.node_id)
        if session is not None:
            self._up(session, message)

    def _up(self, session: _Session, message: Heartbeat | StatusReport) -> None:
        session.arrives_up = max(session.arrives_up, self.clock.now + self.random.uniform(0.001, 0.03))
        self.clock.call_at(session.arrives_up, lambda: self._receive(session, message))

    def _receive(self, session: _Session, message: Heartbeat | StatusReport) -> None:
        if not self._arrives(session):
            return
        if isinstance(message, StatusReport):
            self._take_statuses(session.agent.node_id, message.statuses)
            return
        before = self.observations.get(session.agent.node_id)
        seen = NodeObservation(self.clock.now, message.revision, message.flows)
        self.observations[session.agent.node_id] = seen
        node = self.state.nodes.get(session.agent.node_id)
        if (
            before is None
            or node is None
            or not node.is_ready
            or (before.revision, before.flows)
            != (
                seen.revision,
                seen.flows,
            )
        ):
            self._wake()

    def _take_statuses(self, node_id: str, statuses: Sequence[tuple[str, TaskStatus]]) -> None:
        for task_id, status in statuses:
            task = self.state.tasks.get(task_id)
            if task is not None and task.node_id == node_id and task.status != status:
                self.propose((ReportTaskStatus(task_id, status),))

    def _push_soon(self, session: _Session) -> None:
        if not session.push_is_due:
            session.push_is_due = True
            self.clock.call_later(0.001, lambda: self._push(session))

    def _push(self, session: _Session) -> None:
        session.push_is_due = False
        if not self._is_current(session):
            return
        node_id = session.agent.node_id
        tasks = tasks_for(self.state, node_id)
        if session.sent is not None and _is_same(session.sent, self.state.network_revision, tasks):
            return
        shared = self._shared
        if shared is None or shared.mutations != self.state.mutations:
            shared = _Shared(self.state.mutations, balanced_services(self.state), common_names(self.state))
            self._shared = shared
        network = configuration_for(self.state, node_id, shared.services, shared.names)
        assignments = Assignments(tasks, network, 5.0, ())
        session.sent = assignments
        session.arrives_down = max(session.arrives_down, self.clock.now + self.random.uniform(0.001, 0.03))
        self.clock.call_at(session.arrives_down, lambda: self._deliver(session, assignments))

    def _deliver(self, session: _Session, assignments: Assignments) -> None:
        if self._arrives(session):
            session.agent.obey(assignments)

    def _arrives(self, session: _Session) -> bool:
        if not self._is_current(session):
            return False
        if self.random.random() < self.message_loss:
            self.break_session(session.agent.node_id)
            return False
        return True

    def _is_current(self, session: _Session) -> bool:
        return self._sessions.get(session.agent.node_id) is session


def _is_same(sent: Assignments, revision: int, tasks: Sequence[Task]) -> bool:
    if sent.network.revision != revision or len(sent.tasks) != len(tasks):
        return False
    return all(_is_same_task(a, b) for a, b in zip(sent.tasks, tasks, strict=True))


def _is_same_task(before: Task, after: Task) -> bool:
    return before.id == after.id and before.version == after.version
