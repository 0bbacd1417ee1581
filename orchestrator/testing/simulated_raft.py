"""Managers that agree on a simulated clock, over simulated links: consensus, faults and all, from one seed.

The replicas are the real ones; only the transport, PySyncObj's clock and its dice are replaced. Nothing here is for use
outside of tests, and one simulation runs at a time: PySyncObj's clock is a name in its module.
"""

import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from orchestrator.raft.cluster_clock import ClusterClock
from orchestrator.raft.journal import DurableJournal, LogEntry, MemoryJournal
from orchestrator.raft.options import Beginning, ReplicaOptions
from orchestrator.raft.replica import Replica
from orchestrator.raft.snapshots import open_journal
from orchestrator.raft.stable_node import StableNode
from orchestrator.raft.timing import RaftTiming
from orchestrator.raft.transport import Transport

TICK = 0.02
"""Seconds between a replica's ticks."""
_LATENCY_MIN, _LATENCY_MAX = 0.001, 0.02
_START = 1000.0
"""PySyncObj counts some intervals from 0, which a real monotonic clock is far from."""

_Parcel = tuple[float, int, str, str, int, Any]
"""(arrival, number, sender, receiver, age of the connection, message)"""


@dataclass(frozen=True, slots=True)
class Weather:
    """How links misbehave: probabilities per message. Anything but calm is worse than TCP, which keeps the order."""

    loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.0
    """Of a message that takes up to `delay_max` seconds, and is overtaken by later ones."""
    delay_max: float = 0.5

    @property
    def is_calm(self) -> bool:
        """Whether all messages arrive once and in order."""
        return not (self.loss or self.duplication or self.delay)


class SimulatedJournal(MemoryJournal):
    """A journal on a disk that forgets, in a crash, what was not synced. Term and vote are durable at once."""

    def __init__(self, before: "SimulatedJournal | None" = None) -> None:
        super().__init__()
        self._synced: list[LogEntry] = []
        if before is not None:
            for entry in before._synced:
                self.add(*entry)
            self.setCurrentTerm(before.getCurrentTerm(), before.getVotedForNodeId())
            self.sync()

    @property
    def is_at_risk(self) -> bool:
        """Whether a crash now would lose something."""
        return bool(self._synced != self[:])

    def sync(self) -> None:
        """What is here now survives a crash."""
        self._synced = list(self[:])


class SimulatedTransport(Transport):  # type: ignore[misc]  # the library has no types
    """A replica's links to the others."""

    def __init__(
        self, replica: Replica, own: StableNode, others: Iterable[StableNode], simulation: "SimulatedManagers"
    ) -> None:
        super().__init__(replica, own, others)
        self._own = own
        self._simulation = simulation
        self.peers: dict[str, StableNode] = {node.id: node for node in sorted(others, key=str)}

    def addNode(self, node: StableNode) -> None:
        """Begin to talk with a peer. Called by PySyncObj."""
        self.peers[node.id] = node

    def dropNode(self, node: StableNode) -> None:
        """Talk with a peer no longer. Called by PySyncObj."""
        if self.peers.pop(node.id, None) is not None:
            self._onNodeDisconnected(node)
            self._simulation.disconnect(self._own.id, node.id)

    def send(self, node: StableNode, message: Any) -> bool:
        """Put the message on the link, if there is one."""
        return self._simulation.send(self._own.id, node.id, message)

    def destroy(self) -> None:
        """Stop listening to the replica's peers."""
        self.peers.clear()

    def deliver(self, sender: str, message: Any) -> None:
        """Hand a message to the replica as PySyncObj's transports do."""
        self._onMessageReceived(self.peers[sender], message)

    def set_connected(self, peer: str, connected: bool) -> None:
        """Tell the replica that the link came up or went down."""
        (self._onNodeConnected if connected else self._onNodeDisconnected)(self.peers[peer])


@dataclass
class SimulatedManagers:
    """A group of managers under one clock. Use inside `running`."""

    seed: int
    timing: RaftTiming = field(default_factory=RaftTiming)
    now: float = _START
    """Seconds on the simulated clock."""
    log: list[str] = field(default_factory=list)
    """Every message delivered, in order: the same for the same seed."""
    snapshots: int = 0
    """How many a leader sent, to the last piece, and a manager was there to take."""
    replicas: dict[str, Replica] = field(default_factory=dict)
    skews: dict[str, float] = field(default_factory=dict)
    """By how many seconds a manager's wall clock is ahead of the simulated one."""
    weather: Weather = Weather()
    after_step: Callable[[], None] = lambda: None
    """Called after every tick of every replica: where invariants are checked."""

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._queue: list[_Parcel] = []
        self._sent = 0
        self._isolated: dict[str, None] = {}
        self._blocked: dict[tuple[str, str], None] = {}
        """(sender, receiver) whose messages vanish, though the connection seems to stand."""
        self._severed: dict[tuple[str, str], None] = {}
        """Pairs, both ways round, that cannot connect."""
        self.journals: dict[str, SimulatedJournal] = {}
        """The simulated disks."""
        self._transports: dict[str, SimulatedTransport] = {}
        self._links: dict[tuple[str, str], int] = {}
        """Age of the connection between two managers: what was sent on an older one is lost."""
        self._last_words: dict[tuple[str, str], int] = {}
        """The connections of managers that were killed: what they had sent arrives."""
        self._last_arrival: dict[tuple[str, str], float] = {}
        self._next_tick: dict[str, float] = {}
        self._filtered: dict[tuple[str, str], float] = {}
        """(sender, receiver) -> since when a firewall drops the packets that way."""
        self._unsent: dict[tuple[str, str], list[_Parcel]] = {}
        """What TCP will send again when the way is free, if the connection lasts so long."""
        self._paused: dict[str, float] = {}
        """Since when a manager stands still."""
        self._unread: dict[str, list[Callable[[], None]]] = {}
        """What a manager that stands still will find when it goes on."""

    @contextmanager
    def running(self) -> Iterator["SimulatedManagers"]:
        """Put PySyncObj on the simulated clock and dice; close the replicas at the end."""
        dice = SimpleNamespace(random=self._dice.random)
        with (
            mock.patch("pysyncobj.syncobj.monotonicTime", self._read_clock),
            mock.patch("pysyncobj.syncobj.random", dice),
        ):
            try:
                yield self
            finally:
                for name in list(self.replicas):
                    self.kill(name)

    def start(self, name: str, peers: Sequence[str], beginning: Beginning, directory: Path | None = None) -> Replica:
        """Start a manager called "host:port"; with a directory it keeps its data in real files there.

        Without one, its journal is a simulated disk, and it starts with what it had synced before it was killed.
        """
        journal: MemoryJournal | DurableJournal
        if directory is None:
            journal = self.journals[name] = SimulatedJournal(self.journals.get(name))
        else:
            journal = open_journal(directory / f"{name}.journal", directory / f"{name}.dump")
        options = ReplicaOptions(
            node_id=name,
            peers=tuple(peers),
            beginning=beginning,
            transport=lambda replica, own, others: SimulatedTransport(replica, own, others, self),
            timing=self.timing,
            journal=journal,
            dump=None if directory is None else directory / f"{name}.dump",
            clock=ClusterClock(lambda: self.now + self.skews.get(name, 0.0), lambda: self.now),
        )
        replica = Replica(options)
        self.replicas[name] = replica
        self._transports[name] = replica.transport
        self._next_tick[name] = self.now + self._dice.uniform(0, TICK)
        return replica

    def start_group(self, size: int = 3, directory: Path | None = None) -> tuple[str, ...]:
        """Managers that know each other from the start; returns their names."""
        names = tuple(f"m{number}:1" for number in range(1, size + 1))
        for name in names:
            self.start(name, [other for other in names if other != name], Beginning.RETURNING, directory)
        return names

    def kill(self, name: str) -> None:
        """End a manager without a word, losing what it had not synced; `start` it again to let it return."""
        self._paused.pop(name, None)
        self._unread.pop(name, None)
        self._last_words.update({pair: link for pair, link in self._links.items() if pair[0] == name})
        self._cut(name)
        del self._transports[name], self._next_tick[name]
        self.replicas.pop(name).close()

    def isolate(self, name: str) -> None:
        """Cut the manager off from all others."""
        self._isolated[name] = None
        self._cut(name)

    def sever(self, one: str, other: str) -> None:
        """Break the connection between two managers, and let none be made."""
        for pair in ((one, other), (other, one)):
            self._severed[pair] = None
            self._cut_link(*pair)

    def block(self, sender: str, receiver: str) -> None:
        """Let what one manager sends another vanish silently; the other way goes on."""
        self._blocked[sender, receiver] = None

    def filter(self, sender: str, receiver: str) -> None:
        """Drop packets on their way from one to the other, as a firewall does.

        A connection does not notice until it times out; when the way is free before, what was dropped is sent again.
        """
        self._filtered.setdefault((sender, receiver), self.now)

    def can_reach(self, sender: str, receiver: str) -> bool:
        """Whether packets from one arrive at the other, which may stand still or be dead."""
        return (sender, receiver) not in self._filtered and not {sender, receiver} & self._isolated.keys()

    def heal(self) -> None:
        """Let everyone talk to everyone again."""
        self._isolated.clear()
        self._severed.clear()
        self._blocked.clear()
        self._filtered.clear()
        for parcels in list(self._unsent.values()):
            for _, _, sender, receiver, link, message in parcels:
                if self._links.get((sender, receiver)) == link:
                    self.send(sender, receiver, message)
        self._unsent.clear()

    def pause(self, name: str) -> None:
        """Let a manager stand still, as SIGSTOP does."""
        self._paused.setdefault(name, self.now)

    def resume(self, name: str) -> None:
        """Let it go on: it finds everything that has arrived meanwhile."""
        if self._paused.pop(name, None) is not None:
            for event in self._unread.pop(name, []):
                event()
            self._next_tick[name] = self.now

    def is_paused(self, name: str) -> bool:
        """Whether the manager stands still."""
        return name in self._paused

    @property
    def leaders(self) -> list[str]:
        """Managers that believe to lead now."""
        return [name for name, replica in self.replicas.items() if replica.leads]

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass until the condition holds; returns whether it does."""
        end = self.now + seconds
        while not until():
            arrival = self._queue[0][0] if self._queue else float("inf")
            name, tick_at = self._who_ticks_next()
            if min(arrival, tick_at) > end:
                self.now = end
                return until()
            self.now = min(arrival, tick_at)
            if arrival <= tick_at:
                self._deliver(heapq.heappop(self._queue))
            elif name in self.replicas:
                self._connect(name)
                self._next_tick[name] = tick_at + TICK
                self.replicas[name].doTick()
            self.after_step()
        return True

    def _who_ticks_next(self) -> tuple[str, float]:
        awake = [(name, at) for name, at in self._next_tick.items() if name not in self._paused]
        # Time passes though nobody lives to see it.
        return min(awake, key=lambda item: (item[1], item[0]), default=("", self.now + TICK))

    def _read_clock(self) -> float:
        return self.now

    def send(self, sender: str, receiver: str, message: Any) -> bool:
        """Called by a transport. Like TCP: in order, until the connection breaks."""
        link = self._links.get((sender, receiver))
        if link is None:
            return False
        pair = (sender, receiver)
        if pair in self._blocked:
            return True
        arrival = self.now + self._dice.uniform(_LATENCY_MIN, _LATENCY_MAX)
        if not self.weather.is_calm:
            self._post_in_bad_weather(arrival, pair, link, message)
            return True
        self._last_arrival[pair] = arrival = max(arrival, self._last_arrival.get(pair, 0.0))
        self._post(arrival, pair, link, message)
        return True

    def _post(self, arrival: float, pair: tuple[str, str], link: int, message: Any) -> None:
        self._sent += 1
        parcel = (arrival, self._sent, *pair, link, message)
        if pair in self._filtered:
            self._unsent.setdefault(pair, []).append(parcel)
        else:
            heapq.heappush(self._queue, parcel)

    def _post_in_bad_weather(self, arrival: float, pair: tuple[str, str], link: int, message: Any) -> None:
        weather, dice = self.weather, self._dice
        if dice.random() < weather.loss:
            return
        for _ in range(2 if dice.random() < weather.duplication else 1):
            late = dice.uniform(0, weather.delay_max) if dice.random() < weather.delay else 0.0
            self._post(arrival + late, pair, link, message)

    def disconnect(self, one: str, other: str) -> None:
        """Called by a transport that talks with a peer no longer."""
        self._cut_link(one, other)
        self._cut_link(other, one)

    def _deliver(self, parcel: _Parcel) -> None:
        _, _, sender, receiver, link, message = parcel
        pair = (sender, receiver)
        arrives = link in (self._links.get(pair), self._last_words.get(pair))
        if not arrives or pair in self._blocked or sender not in getattr(self._transports.get(receiver), "peers", ()):
            return
        if receiver in self._paused:
            self._unread.setdefault(receiver, []).append(lambda: self._hand_over(sender, receiver, message))
        else:
            self._hand_over(sender, receiver, message)

    def _hand_over(self, sender: str, receiver: str, message: Any) -> None:
        if sender not in self._transports[receiver].peers:
            return
        self.log.append(f"{self.now:.6f} {sender}>{receiver} {message['type']} {message.get('term', '')}")
        _, _, is_last = message.get("serialized") or (b"", False, False)
        self.snapshots += is_last
        self._transports[receiver].deliver(sender, message)
        # The event loop ticks as soon as messages were handled.
        self._next_tick[receiver] = self.now

    def _connect(self, name: str) -> None:
        """A tick is when PySyncObj's transport looks for peers it has no connection with, or one that is dead."""
        self._time_out(name)
        for peer in list(self._transports[name].peers):
            both_listen = peer in self._transports and name in self._transports[peer].peers
            cut = name in self._isolated or peer in self._isolated or (name, peer) in self._severed
            filtered = (name, peer) in self._filtered or (peer, name) in self._filtered
            if not both_listen or cut or filtered or peer in self._paused or (name, peer) in self._links:
                continue
            self._sent += 1
            self._links[name, peer] = self._links[peer, name] = self._sent
            self._transports[name].set_connected(peer, True)
            self._transports[peer].set_connected(name, True)

    def _time_out(self, name: str) -> None:
        """Close the connections that have brought nothing for too long."""
        limit = self.now - self.timing.connection_timeout
        for peer in list(self._transports[name].peers):
            silent_since = min(self._filtered.get((peer, name), self.now), self._paused.get(peer, self.now))
            if silent_since < limit and (name, peer) in self._links:
                self.disconnect(name, peer)

    def _cut(self, name: str) -> None:
        for one, other in [pair for pair in self._links if name in pair]:
            self._cut_link(one, other)

    def _cut_link(self, one: str, other: str) -> None:
        known = one in self._transports and other in self._transports[one].peers
        if self._links.pop((one, other), None) is None or not known:
            return
        if one in self._paused:
            self._unread.setdefault(one, []).append(lambda: self._notice_end(one, other))
        else:
            self._notice_end(one, other)

    def _notice_end(self, one: str, other: str) -> None:
        if one in self._transports and other in self._transports[one].peers:
            self._transports[one].set_connected(other, False)
