"""Many gossiping nodes on one simulated clock and network: seeded, so that each run can be had again."""

import heapq
import random
from collections.abc import Callable, Iterable
from itertools import count

from orchestrator.network.gossip_message_rules import Message, Standing
from orchestrator.network.gossip_rules import Gossip, Outcome

FASTEST_S, SLOWEST_S = 0.0002, 0.002
"""How long a datagram is under way."""


class SimulatedGossip:
    """Nodes named n0, n1, ... that probe one another."""

    def __init__(self, size: int, seed: int, *, loss: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        """Share of datagrams that get lost."""
        self.now = 0.0
        self.names = [f"n{number}" for number in range(size)]
        self.nodes: dict[str, Gossip] = {}
        self.stopped: dict[str, float] = {}
        """Nodes that do not run, and until when; what comes for them waits."""
        self.cut: set[tuple[str, str]] = set()
        """(from, to): no datagram passes that way."""
        self.verdicts: list[tuple[float, str, str, Standing]] = []
        """(when, by whom, of whom, what)."""
        self.sent = 0
        self.delivered: list[tuple[str, Message]] = []
        self.keeps_delivered = False
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._due: dict[str, float] = {}
        for name in self.names:
            self.start(name)

    def start(self, name: str) -> None:
        """Start the node anew: it remembers nothing."""
        self.stopped.pop(name, None)
        node = self.nodes[name] = Gossip(name, self.random.getrandbits(62), self.random.random)
        node.follow(self.now, self.names)
        self._due[name] = float("inf")
        self._schedule_tick(name)

    def kill(self, name: str) -> None:
        """End the node; what comes for it is lost."""
        del self.nodes[name]

    def stop(self, name: str, seconds: float) -> None:
        """Let the node not run for so long, as SIGSTOP does, or a processor that has other work."""
        self.stopped[name] = max(self.now + seconds, self.stopped.get(name, 0.0))

    def isolate(self, name: str, others: Iterable[str] | None = None) -> None:
        """Cut the node off from the others, both ways."""
        for other in self.names if others is None else others:
            self.cut |= {(name, other), (other, name)}

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at that time."""
        heapq.heappush(self._queue, (time, next(self._order), action))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = until

    def run_until(self, condition: Callable[[], bool], deadline: float) -> float:
        """Let time pass until the condition holds; returns how long that took. Raises `TimeoutError`."""
        began = self.now
        while not condition():
            if self.now - began > deadline or not self._queue:
                raise TimeoutError(f"not within {deadline} s")
            self.now, _, action = heapq.heappop(self._queue)
            action()
        return self.now - began

    def holders(self, name: str) -> list[str]:
        """Who holds the node dead."""
        return [other for other, node in self.nodes.items() if name in node.dead]

    def inject(self, to: str, message: Message) -> Outcome:
        """Give a node a message out of turn."""
        outcome = self.nodes[to].receive(self.now, message)
        self._take(to, outcome)
        return outcome

    def _schedule_tick(self, name: str) -> None:
        due = self.nodes[name].wake_at
        # One timer suffices, unless an earlier one is wanted.
        if due < self._due[name]:
            self._due[name] = due
            node = self.nodes[name]
            self.at(max(due, self.now), lambda: self._tick(name, node, due))

    def _tick(self, name: str, node: Gossip, due: float) -> None:
        if self.nodes.get(name) is not node or self._due[name] != due:
            return
        awake_at = self.stopped.get(name, 0.0)
        if awake_at > self.now:
            self.at(awake_at, lambda: self._tick(name, node, due))
            return
        self._due[name] = float("inf")
        self._take(name, node.tick(self.now) if node.wake_at <= self.now + 1e-9 else Outcome())

    def _take(self, name: str, outcome: Outcome) -> None:
        for change in outcome.changes:
            self.verdicts.append((self.now, name, change.member, change.standing))
        for to, message in outcome.sends:
            self.sent += 1
            if (name, to) not in self.cut and self.random.random() >= self.loss:
                delay = self.random.uniform(FASTEST_S, SLOWEST_S)
                self.at(self.now + delay, lambda to=to, message=message: self._deliver(to, message))  # type: ignore[misc]
        self._schedule_tick(name)

    def _deliver(self, to: str, message: Message) -> None:
        if to not in self.nodes:
            return
        awake_at = self.stopped.get(to, 0.0)
        if awake_at > self.now:
            self.at(awake_at, lambda: self._deliver(to, message))
            return
        if self.keeps_delivered:
            self.delivered.append((to, message))
        self._take(to, self.nodes[to].receive(self.now, message))
