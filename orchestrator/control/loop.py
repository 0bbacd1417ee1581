"""Which decider runs when, and how their plans become one batch.

Each decider sees the state as the ones before it want it: their actions are applied to a draft, never to the
replicated state. What comes out is one batch that carries, say, a task from creation to its node in one commit.
Must not do: propose, or know what a decider is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.control import (
    constraint_enforcer,
    gossip_keys,
    jobs,
    node_liveness,
    per_node,
    replicated,
    restart,
    rolling_update,
    root_rotation,
    task_reaper,
    withdrawal,
)
from orchestrator.control.allocator import allocator
from orchestrator.control.plan import Decider, Plan, Situation, earliest
from orchestrator.control.scheduler import scheduler
from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import ClusterError
from orchestrator.state.actions import Action, Batch
from orchestrator.state.apply import apply
from orchestrator.state.cluster_state import ClusterState

OBSERVERS: tuple[Decider, ...] = (node_liveness.reconcile, withdrawal.reconcile)
"""Deciders that look at what nodes were heard to say: any heartbeat may change their mind."""

PLANNERS: tuple[Decider, ...] = (
    per_node.reconcile,
    replicated.reconcile,
    constraint_enforcer.reconcile,
    # Before restart: it must see a failed task before the replacement hides it.
    rolling_update.reconcile,
    restart.reconcile,
    jobs.reconcile,
    allocator.reconcile,
    scheduler.reconcile,
    task_reaper.reconcile,
    root_rotation.reconcile,
    gossip_keys.reconcile,
)
"""Deciders that look at the state and the time alone."""

DECIDERS: tuple[Decider, ...] = (*OBSERVERS, *PLANNERS)

MAX_ROUNDS = 12
"""Rounds of all deciders within one batch; what is left then comes with the next batch."""


def reconcile(situation: Situation, deciders: Sequence[Decider] = DECIDERS) -> Plan:
    """All that is to be done now, as one batch, and when to look again.

    Empty actions mean the cluster is as it should be until `wake_at` or a change. The leader loop proposes the
    actions and calls again after the commit; a refused batch (the user was quicker) is simply decided anew.
    A decider whose wish cannot be had is passed over, so that it does not keep the others from their work.
    """
    decision = _decide(situation, deciders)
    return Plan(decision.actions, earliest((decision.observers_wake_at, decision.planners_wake_at)), decision.problems)


@dataclass(frozen=True, slots=True)
class _Decision:
    """A plan that says who wants to look again when."""

    actions: tuple[Action, ...]
    observers_wake_at: float | None
    planners_wake_at: float | None
    problems: tuple[str, ...]


def _decide(situation: Situation, deciders: Sequence[Decider]) -> _Decision:
    draft = situation
    actions: list[Action] = []
    problems: dict[str, None] = {}
    for _ in range(MAX_ROUNDS):
        found = False
        observers_wake_at: float | None = None
        planners_wake_at: float | None = None
        for decide in deciders:
            plan = decide(draft)
            if decide in OBSERVERS:
                observers_wake_at = earliest((observers_wake_at, plan.wake_at))
            else:
                planners_wake_at = earliest((planners_wake_at, plan.wake_at))
            if not plan.actions:
                continue
            if draft is situation:
                draft = replace(situation, state=situation.state.draft())
            refusal = _try_out(draft.state, Batch(situation.now, plan.actions))
            if refusal is None:
                found = True
                actions.extend(plan.actions)
            else:
                problems[f"{decide.__module__}: {refusal}"] = None
        if not found:
            return _Decision(tuple(actions), observers_wake_at, planners_wake_at, tuple(problems))
    # Not settled within one batch: look again at once.
    return _Decision(tuple(actions), situation.now, situation.now, tuple(problems))


def _try_out(draft: ClusterState, batch: Batch) -> ClusterError | None:
    """Apply the batch to the draft; returns why it was refused."""
    try:
        apply(draft, batch)
    except ClusterError as refusal:
        return refusal
    return None


@dataclass(frozen=True, slots=True)
class _Settled:
    """A moment at which nothing was to be done."""

    state: ClusterState
    mutations: int
    cluster: Cluster | None
    leading_since: float
    wake_at: float | None
    """When the planners want to look again though nothing changes."""

    def holds_beside_what_was_touched(self, situation: Situation) -> bool:
        """Whether what was not written to since is as it should be still."""
        state = situation.state
        return (
            state is self.state
            and state.cluster is self.cluster
            and state.changed_for_all <= self.mutations
            and situation.leading_since == self.leading_since
            and (self.wake_at is None or situation.now < self.wake_at)
        )


class Reconciler:
    """`reconcile` for one state over time: it costs what has changed, and while nothing does, next to nothing.

    It only remembers when nothing was to be done; forgetting it costs time, never correctness. From there on the
    planners are shown what was written to since (`Situation.since`), and all again when a node or a network has
    changed, or when one of them wanted to look again by now.
    """

    def __init__(self) -> None:
        self._settled: _Settled | None = None

    def __call__(self, situation: Situation) -> Plan:
        """As `reconcile`."""
        settled = self._settled
        if settled is not None and not settled.holds_beside_what_was_touched(situation):
            settled = None
        if settled is not None and situation.state.mutations == settled.mutations:
            heard = reconcile(situation, OBSERVERS)
            if not heard.actions:
                return Plan(wake_at=earliest((settled.wake_at, heard.wake_at)))
        since = None if settled is None else settled.mutations
        decision = _decide(replace(situation, since=since), DECIDERS)
        wake_at = earliest((decision.planners_wake_at, None if settled is None else settled.wake_at))
        self._settled = settled
        if decision.problems:
            self._settled = None
        elif not decision.actions:
            self._settled = _Settled(
                situation.state,
                situation.state.mutations,
                situation.state.cluster,
                situation.leading_since,
                wake_at,
            )
        return Plan(decision.actions, earliest((decision.observers_wake_at, wake_at)), decision.problems)
