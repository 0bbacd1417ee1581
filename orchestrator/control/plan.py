"""What a decider hands back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from orchestrator.model.node import Node
from orchestrator.model.service import Service
from orchestrator.model.session import NodeObservation
from orchestrator.state.actions import Action
from orchestrator.state.cluster_state import ClusterState


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions to propose now, and when to look again though nothing may have changed."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    """Seconds since the epoch; None = only when the state changes."""
    problems: tuple[str, ...] = ()
    """Why wishes of deciders were left out, for the log: each is a fault in the decider that had it."""


NOTHING = Plan()


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decider may know: the state, the clock, fresh ids, and what the leader heard from nodes."""

    state: ClusterState
    now: float
    """Seconds since the epoch."""
    new_id: Callable[[], str]
    observations: Mapping[str, NodeObservation]
    """By node id; a node the leader has not heard since it leads is absent."""
    leading_since: float
    """When this manager became leader, seconds since the epoch: silence is counted from here at the earliest."""
    since: int | None = None
    """By `ClusterState.mutations`: as it was then, nothing was to be done; None when that is not known."""

    @property
    def services(self) -> Iterable[Service]:
        """The services for which something may be to be done."""
        if self.since is None:
            return self.state.services.values()
        touched = self.state.services_touched_since(self.since)
        return [self.state.services[service_id] for service_id in touched if service_id in self.state.services]

    @property
    def services_with_tasks(self) -> Iterable[str]:
        """Ids of those services, removed ones included whose tasks live on."""
        if self.since is None:
            return self.state.services_with_tasks()
        return self.state.services_touched_since(self.since)

    @property
    def nodes_to_connect(self) -> Iterable[Node]:
        """The nodes that may have to carry other networks."""
        return self.state.nodes.values() if self.since is None else self.state.nodes_touched_since(self.since)


Decider = Callable[[Situation], Plan]


def merged(plans: Iterable[Plan]) -> Plan:
    """One plan that does what all of them do, and looks again when the first of them would."""
    actions: list[Action] = []
    wake_at: float | None = None
    for plan in plans:
        if plan.actions:
            actions.extend(plan.actions)
        if plan.wake_at is not None and (wake_at is None or plan.wake_at < wake_at):
            wake_at = plan.wake_at
    return Plan(tuple(actions), wake_at) if actions or wake_at is not None else NOTHING


def earliest(times: Iterable[float | None]) -> float | None:
    """The first of several wake-up times, None among them meaning never."""
    known = [time for time in times if time is not None]
    return min(known, default=None)
