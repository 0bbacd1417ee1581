"""The API of simulated managers, as far as consistency is concerned: who answers, from which state, and when.

It repeats in callbacks what `raft/node.py`, `api/routes.py`, the handlers of configs and services and
`manager/forwarding.py` do on an event loop; the replicas, their logs and `apply` are the real ones.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from pysyncobj import FAIL_REASON

from orchestrator.model.container import ContainerSpec
from orchestrator.model.errors import AlreadyExists, ClusterError, NotFound, OutOfSequence
from orchestrator.model.files import ConfigObject
from orchestrator.model.service import Service, ServiceSpec, TaskSpec
from orchestrator.raft.replica import BARRIER, Replica
from orchestrator.state.actions import (
    Action as Change,
)
from orchestrator.state.actions import (
    Batch,
    CreateConfig,
    CreateService,
    RemoveConfig,
    RemoveService,
    UpdateConfigLabels,
    UpdateService,
)
from orchestrator.state.cluster_state import ClusterState
from orchestrator.state.codec import encode_batch
from orchestrator.testing.simulated_raft import SimulatedManagers
from tests.consistency.history import Action, Outcome, Refusal
from tests.consistency.workload import Answer, Wish

LABEL = "value"
Reply = Callable[[Answer], None]
_NOT_SERVED = Answer(Outcome.FAIL, refusal=Refusal.NOT_SERVED)
_LOST = Answer(Outcome.INFO)
_REFUSALS: Mapping[type[ClusterError], Refusal] = {
    AlreadyExists: Refusal.EXISTS,
    NotFound: Refusal.ABSENT,
    OutOfSequence: Refusal.STALE,
}


@dataclass
class _Store:
    """What `RaftStore` knows besides its replica."""

    replica: Replica
    leading_term: int | None = None
    is_leader: bool = False
    pending: dict[int, Reply] = field(default_factory=dict)
    reads: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    """What waits until the entry of that index is applied."""
    asked_of: object = None


class SimulatedFront:
    """Takes wishes at a manager and replies some time later, or never.

    `leaders_ask` is False for leaders that answer from what they know, without asking whether they still lead: what
    the checker must find.
    """

    def __init__(self, managers: SimulatedManagers, *, leaders_ask: bool = True) -> None:
        self.managers = managers
        self._leaders_ask = leaders_ask
        self._dice = Random(f"front {managers.seed}")
        self._stores: dict[str, _Store] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        """Requests that arrived at a manager that stands still."""
        self._counter = 0

    def step(self) -> None:
        """Let what is due happen; to be called after every step of the managers."""
        for name, replica in self.managers.replicas.items():
            store = self._stores.get(name)
            if store is None or store.replica is not replica:
                store = self._stores[name] = _Store(replica)
            if not self.managers.is_paused(name):
                self._observe(store)
        for name in [name for name in self._waiting if not self.managers.is_paused(name)]:
            self._wake(name)
        while self._events and self._events[0][0] <= self.managers.now:
            heapq.heappop(self._events)[2]()

    def resume(self, name: str) -> None:
        """Let a manager go on. By chance it looks at its clients first, or at what its peers have sent meanwhile."""
        if self._dice.random() < 0.5:
            self.managers.resume(name)
            self._wake(name)
        else:
            self._wake(name)
            self.managers.resume(name)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        """Run the callback in the first step after that many seconds."""
        self._counter += 1
        heapq.heappush(self._events, (self.managers.now + delay, self._counter, callback))

    def ask(self, name: str, wish: Wish, reply: Reply) -> None:
        """Send the wish to a manager's own socket."""
        if name not in self.managers.replicas:
            reply(_NOT_SERVED)
        else:
            self._arrive(name, partial(self._serve, name, wish, reply, False))

    def _wake(self, name: str) -> None:
        for request in self._waiting.pop(name, []):
            request()

    def _arrive(self, name: str, request: Callable[[], None]) -> None:
        if self.managers.is_paused(name):
            self._waiting.setdefault(name, []).append(request)
        elif name in self.managers.replicas:
            request()

    def _serve(self, name: str, wish: Wish, reply: Reply, forwarded: bool) -> None:
        store = self._stores.get(name)
        if store is None or store.replica is not self.managers.replicas.get(name):
            reply(_unavailable(wish, "starting"))
            return
        leader = store.replica.leader_id
        if store.is_leader:
            self._execute(name, store, wish, reply)
        elif forwarded or leader is None or leader == name:
            reply(_unavailable(wish, "no leader"))
        elif leader not in self.managers.replicas:
            reply(_unavailable(wish, "no leader: connection refused"))
        else:
            back = partial(self._send, leader, name)
            there = partial(self._serve, leader, wish, lambda answer: back(lambda: reply(answer)), True)
            self._send(name, leader, there)

    def _send(self, sender: str, receiver: str, request: Callable[[], None]) -> None:
        """Over the network; what is dropped there never arrives."""
        if self.managers.can_reach(sender, receiver) and self.managers.can_reach(receiver, sender):
            self.call_later(self._dice.uniform(0.001, 0.01), partial(self._arrive, receiver, request))

    def _execute(self, name: str, store: _Store, wish: Wish, reply: Reply) -> None:
        """Carry out the wish on what is certainly the latest state."""

        def go_on(index: int | None) -> None:
            if index is None:
                reply(_unavailable(wish, "no leader"))
            else:
                store.reads.append((index, partial(self._carry_out, name, store, wish, reply)))

        if self._leaders_ask:
            store.replica.reads.ask(go_on)
        else:
            self._carry_out(name, store, wish, reply)

    def _carry_out(self, name: str, store: _Store, wish: Wish, reply: Reply) -> None:
        if wish.action is Action.READ:
            reply(_read(store.replica.state, wish))
            return
        try:
            change = _change(store.replica.state, wish, f"id{self._counter}-{wish.value}")
        except ClusterError as error:
            reply(_refused(error))
            return
        self._propose(store, [change], reply)

    def _propose(self, store: _Store, changes: Sequence[Change], reply: Reply) -> None:
        self._counter += 1
        number = self._counter
        store.pending[number] = reply

        def done(error: ClusterError | None, reason: int) -> None:
            waiting = store.pending.pop(number, None)
            if waiting is None:
                return
            if reason != FAIL_REASON.SUCCESS:
                waiting(replace(_LOST, note=f"PySyncObj: {reason}"))
            else:
                waiting(Answer(Outcome.OK) if error is None else _refused(error))

        at = store.replica.options.clock.now()
        store.replica.apply_batch(encode_batch(Batch(at=at, actions=tuple(changes))), callback=done)

    def _observe(self, store: _Store) -> None:
        replica = store.replica
        leader = replica.leader_node
        asked_of = (leader, replica.term, leader is None or replica.reaches_leader)
        if asked_of != store.asked_of:
            store.asked_of = asked_of
            replica.reads.fail_all()
        if store.reads:
            ready = [read for index, read in store.reads if index <= replica.raftLastApplied]
            store.reads = [(index, read) for index, read in store.reads if index > replica.raftLastApplied]
            for read in ready:
                read()
        leading_term = replica.term if replica.leads else None
        if leading_term == store.leading_term:
            return
        store.leading_term, store.is_leader = leading_term, False
        pending, store.pending = store.pending, {}
        for reply in pending.values():
            reply(replace(_LOST, note="node lost leader status"))
        if leading_term is not None:
            replica.apply_batch(BARRIER, callback=partial(self._on_caught_up, store, leading_term))

    def _on_caught_up(self, store: _Store, term: int, _: Any, reason: int) -> None:
        if reason == FAIL_REASON.SUCCESS and store.leading_term == term:
            store.is_leader = True


def _unavailable(wish: Wish, note: str) -> Answer:
    # The text is the same whether the proposal was made or not, so a client cannot know.
    return replace(_NOT_SERVED if wish.action is Action.READ else _LOST, note=note)


def _refused(error: ClusterError) -> Answer:
    refusal = next(refusal for kind, refusal in _REFUSALS.items() if isinstance(error, kind))
    return Answer(Outcome.FAIL, refusal=refusal, note=str(error))


def _find(state: ClusterState, wish: Wish) -> ConfigObject | Service:
    known = state.configs if wish.kind.name == "config" else state.services
    found = next((item for item in known.values() if item.name == wish.name), None)
    if found is None:
        raise NotFound(f"{wish.key} not found")
    return found


def _read(state: ClusterState, wish: Wish) -> Answer:
    try:
        item = _find(state, wish)
    except NotFound:
        return Answer(Outcome.OK)
    labels = item.labels if isinstance(item, ConfigObject) else item.spec.labels
    return Answer(Outcome.OK, value=dict(labels)[LABEL], version=item.version)


def _change(state: ClusterState, wish: Wish, new_id: str) -> Change:
    is_config = wish.kind.name == "config"
    labels = ((LABEL, wish.value or ""),)
    spec = ServiceSpec(name=wish.name, task=TaskSpec(ContainerSpec("image")), labels=labels, replicas=0)
    if wish.action is Action.CREATE:
        if is_config:
            return CreateConfig(ConfigObject(new_id, wish.name, b"data", labels))
        return CreateService(Service(new_id, spec, 0))
    item_id = _find(state, wish).id
    if wish.action is Action.REMOVE:
        return RemoveConfig(item_id) if is_config else RemoveService(item_id)
    version = wish.version or 0
    return UpdateConfigLabels(item_id, version, labels) if is_config else UpdateService(item_id, version, spec)
