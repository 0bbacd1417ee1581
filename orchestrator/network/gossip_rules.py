"""Failure detection among all nodes: messages and the time in, messages and verdicts out.

SWIM (for the papers see `gossip_roster_rules` and `gossip_suspicion_rules`): in turn each node pings one other; without
an answer it has others ping; without theirs the member is suspected, and held dead unless it refutes in time. News
rides on the probes, and while there is any it is told to some members besides.

A slow node must not accuse the others, so, after Lifeguard:
* the clock here stands still while this node should have run and did not: what came late is not taken for missing;
* a node that seems to be the slow one itself, by its own lateness, by answers of helpers that it misses, by being
  suspected, gives all others more time (`health`);
* a suspicion starts long and is cut short by members that found the same by themselves; each that hears of one looks.
What Lifeguard calls the buddy system is `Roster.held`: whoever is suspected or held dead hears so in every message to
it, and so can refute at once.

Being heard is no proof of life, for a node that sends and does not receive serves nobody: only a refutation is.

Pure: no clock, no chance, no sockets.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from orchestrator.network.gossip_message_rules import MAX_UPDATES, Kind, Message, Standing, Update
from orchestrator.network.gossip_replay_rules import Freshness
from orchestrator.network.gossip_roster_rules import Change, Member, Roster

TURN_INTERVAL_S = 0.2
"""Between the members a node pings."""
PROBE_S = 0.25
"""For a member to be found silent, by helpers too."""
PROBE_TIMEOUT_S = 0.1
"""For the direct answer."""
HELPERS = 3
RELAY_TIMEOUT_S = 0.12
"""For a member to answer a helper, who must still say so in the prober's time."""
SPREAD_INTERVAL_S = 0.05
SPREAD_FANOUT = 3
DEAD_PING_INTERVAL_S = 1.0
"""Between pings of members held dead, so that both sides of a healed partition find each other."""
HELLO_INTERVAL_S = 0.25
"""Between pings of a member whose session is yet to be proven."""
LATE_S = 0.05
"""A node that runs that much later than it should takes itself for slow."""
WORST_HEALTH = 7
CHECKERS = 6
"""How many members, of a large cluster, look for themselves when they hear of a suspicion."""
MAX_RELAYS = 128

_NEVER = math.inf
_TICK = 1e-6
"""Seconds by which a deadline may be missed through rounding."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be done, and what has changed."""

    sends: tuple[tuple[str, Message], ...] = ()
    """(member, message), in order."""
    changes: tuple[Change, ...] = ()
    dropped: str = ""
    """Why the message was not, or not wholly, taken."""


@dataclass(slots=True)
class _Probe:
    target: str
    until: float
    direct_until: float
    is_turn: bool
    """One of the regular turns: how it goes says something about this node's own health."""
    is_accusing: bool
    """Whether silence leads to a suspicion."""
    helpers: int | None = None
    """How many were asked; None before."""
    nacks: int = 0


@dataclass(frozen=True, slots=True)
class _Relay:
    origin: str
    sequence: int
    until: float


@dataclass(slots=True)
class _Timers:
    probe: float = _NEVER
    spread: float = _NEVER
    dead_ping: float = _NEVER
    hellos: dict[str, float] = field(default_factory=dict)
    """When a member may be greeted again."""


class Gossip:
    """One node's side. All times are seconds of one clock that never goes back.

    `session` is drawn anew at each start, from 2**62 numbers; `random` gives numbers from 0 up to, but not, 1.
    """

    def __init__(self, node_id: str, session: int, random: Callable[[], float]) -> None:
        self._roster = Roster(node_id)
        self._session = session
        self._random = random
        self._number = 0
        self._sequence = session
        self._stood_still = 0.0
        self._probes: dict[int, _Probe] = {}
        self._relays: dict[int, _Relay] = {}
        self._round: list[str] = []
        self._timers = _Timers()
        self._sends: list[tuple[str, Message]] = []
        self.health = 0
        """0 = well; all times given to others are multiplied with one more."""

    @property
    def dead(self) -> frozenset[str]:
        """Ids of the members held dead."""
        return frozenset(member.id for member in self._roster.dead())

    @property
    def heard(self) -> frozenset[str]:
        """Ids of the members that have answered: those whose silence means something."""
        return frozenset(member.id for member in self._roster.members.values() if member.is_heard)

    @property
    def wake_at(self) -> float:
        """When `tick` is to be called next; infinite while there is nobody to probe."""
        return self._next_deadline() + self._stood_still

    def follow(self, now: float, member_ids: Sequence[str]) -> None:
        """Probe exactly these members, besides this node itself, which may be among them."""
        time = self._advance(now)
        self._roster.follow(member_ids)
        members = self._roster.members
        self._probes = {number: probe for number, probe in self._probes.items() if probe.target in members}
        self._relays = {number: relay for number, relay in self._relays.items() if relay.origin in members}
        timers = self._timers
        timers.hellos = {member_id: until for member_id, until in timers.hellos.items() if member_id in members}
        if not members:
            timers.probe = timers.dead_ping = timers.spread = _NEVER
        elif timers.probe == _NEVER:
            # Nodes that start together do not probe in step.
            timers.probe = time + self._random() * TURN_INTERVAL_S
            timers.dead_ping = time + self._random() * DEAD_PING_INTERVAL_S

    def receive(self, now: float, message: Message) -> Outcome:
        """Take a message that was sealed with a key of the cluster for this node."""
        time = self._advance(now)
        sender = self._roster.members.get(message.sender)
        if sender is None:
            return Outcome(dropped="not a member")
        freshness = sender.guard.look(message.session, message.number)
        if freshness is Freshness.REPLAYED:
            return Outcome(dropped="replayed")
        if freshness is Freshness.UNPROVEN and not self._proves(message):
            self._greet(sender, message, time)
            return self._outcome(time, dropped="" if message.kind is Kind.PING else "unproven")
        sender.guard.note(message.session, message.number)
        sender.is_heard = True
        self._learn((Update(sender.id, Standing.ALIVE, message.incarnation), *message.updates), time)
        self._answer(sender, message, time)
        return self._outcome(time)

    def tick(self, now: float) -> Outcome:
        """Do what is due."""
        time = self._advance(now) + _TICK
        self._judge_probes(time)
        self._end_relays(time)
        self._roster.expire(time)
        timers = self._timers
        if timers.probe <= time:
            timers.probe = time + TURN_INTERVAL_S * self._patience
            self._probe_next(time)
            for suspect in self._roster.suspects():
                self._check(suspect, time)
        if timers.dead_ping <= time:
            timers.dead_ping = time + DEAD_PING_INTERVAL_S
            for member in self._pick(self._roster.dead(), SPREAD_FANOUT):
                self._ping(member, time, is_accusing=False)
        self._tell_news(time)
        return self._outcome(time)

    # The clock -----------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> float:
        """The time by the clock that stands still while this node should run and does not."""
        late = now - self.wake_at
        if late > 0:
            self._stood_still += late
            if late > LATE_S:
                self._feel(1)
        return now - self._stood_still

    def _next_deadline(self) -> float:
        return min(
            (
                self._timers.probe,
                self._timers.spread,
                self._timers.dead_ping,
                *(probe.until if probe.helpers is not None else probe.direct_until for probe in self._probes.values()),
                *(relay.until for relay in self._relays.values()),
                *self._roster.deadlines(),
            )
        )

    @property
    def _patience(self) -> int:
        return self.health + 1

    def _feel(self, worse_by: int) -> None:
        self.health = min(WORST_HEALTH, max(0, self.health + worse_by))

    # Probing -------------------------------------------------------------------------------------------------

    def _probe_next(self, time: float) -> None:
        member = next(self._in_turn(), None)
        if member is not None:
            self._ping(member, time, is_turn=True, is_accusing=member.is_heard)

    def _in_turn(self) -> Iterator[Member]:
        """Each living member once a round, in an order drawn anew: at most two rounds lie between two turns of one."""
        if not self._round:
            self._round = [member.id for member in self._pick(self._roster.living(), len(self._roster.members))]
        while self._round:
            member = self._roster.members.get(self._round.pop())
            if member is not None and member.standing is not Standing.DEAD:
                yield member

    def _ping(self, member: Member, time: float, *, is_turn: bool = False, is_accusing: bool = True) -> None:
        direct_until = time + PROBE_TIMEOUT_S * self._patience
        until = time + PROBE_S * self._patience
        sequence = self._next_sequence()
        self._probes[sequence] = _Probe(member.id, until, direct_until, is_turn, is_accusing)
        self._send(member.id, Kind.PING, sequence)

    def _judge_probes(self, time: float) -> None:
        for sequence, probe in list(self._probes.items()):
            if probe.until <= time:
                del self._probes[sequence]
                self._found_silent(probe, time)
            elif probe.helpers is None and probe.direct_until <= time:
                self._ask_helpers(sequence, probe)

    def _ask_helpers(self, sequence: int, probe: _Probe) -> None:
        living = [member for member in self._roster.living() if member.is_heard and member.id != probe.target]
        helpers = self._pick(living, HELPERS) if probe.is_accusing else []
        probe.helpers = len(helpers)
        for helper in helpers:
            self._send(helper.id, Kind.PING_REQUEST, sequence, probe.target)

    def _found_silent(self, probe: _Probe, time: float) -> None:
        if not probe.is_accusing:
            return
        if probe.is_turn:
            # Helpers that live say so: those that were not heard either speak against this node.
            self._feel((probe.helpers or 0) - probe.nacks if probe.helpers else 1)
        self._roster.accuse(self._roster.members[probe.target], time)

    def _end_relays(self, time: float) -> None:
        for sequence, relay in list(self._relays.items()):
            if relay.until <= time:
                del self._relays[sequence]
                self._send(relay.origin, Kind.NACK, relay.sequence)

    # Messages ------------------------------------------------------------------------------------------------

    def _proves(self, message: Message) -> bool:
        """Whether it answers a ping of ours to its sender."""
        probe = self._probes.get(message.sequence)
        return message.kind is Kind.ACK and probe is not None and probe.target == message.sender

    def _greet(self, sender: Member, message: Message, time: float) -> None:
        """Have the sender prove its session, and prove ours to it."""
        if message.kind is Kind.PING:
            self._send(sender.id, Kind.ACK, message.sequence)
        if self._timers.hellos.get(sender.id, 0.0) <= time:
            self._timers.hellos[sender.id] = time + HELLO_INTERVAL_S
            self._ping(sender, time, is_accusing=False)

    def _learn(self, updates: Sequence[Update], time: float) -> None:
        for update in updates:
            if not self._roster.believe(update, time):
                continue
            if update.member == self._roster.own_id:
                self._feel(1)
            elif update.standing is Standing.SUSPECT:
                self._check(self._roster.members[update.member], time)

    def _check(self, suspect: Member, time: float) -> None:
        """Ping a suspect out of turn, unless that is done already or enough others do.

        Who finds it silent as well accuses it too; who accused it by mistake gets its refutation.
        """
        is_checked = any(probe.target == suspect.id and probe.is_accusing for probe in self._probes.values())
        if not is_checked and self._random() * self._roster.size < CHECKERS:
            self._ping(suspect, time, is_accusing=suspect.is_heard)

    def _answer(self, sender: Member, message: Message, time: float) -> None:
        if message.kind is Kind.PING:
            self._send(sender.id, Kind.ACK, message.sequence)
        elif message.kind is Kind.PING_REQUEST:
            self._help(sender, message, time)
        elif message.kind is Kind.ACK:
            self._acknowledged(message)
        elif message.kind is Kind.NACK and message.sequence in self._probes:
            self._probes[message.sequence].nacks += 1

    def _help(self, sender: Member, message: Message, time: float) -> None:
        if message.target not in self._roster.members or len(self._relays) >= MAX_RELAYS:
            return
        sequence = self._next_sequence()
        self._relays[sequence] = _Relay(sender.id, message.sequence, time + RELAY_TIMEOUT_S)
        self._send(message.target, Kind.PING, sequence)

    def _acknowledged(self, message: Message) -> None:
        relay = self._relays.pop(message.sequence, None)
        if relay is not None:
            self._send(relay.origin, Kind.ACK, relay.sequence)
        probe = self._probes.pop(message.sequence, None)
        if probe is not None and probe.is_turn:
            self._feel(-1)

    def _tell_news(self, time: float) -> None:
        """While there is news, tell it to some members at every interval, whatever the probes do."""
        if self._timers.spread > time:
            return
        for member in self._pick(self._roster.living(), SPREAD_FANOUT) if len(self._roster.spread) else ():
            self._send(member.id, Kind.WORD)
        self._timers.spread = time + SPREAD_INTERVAL_S if len(self._roster.spread) else _NEVER

    def _send(self, to: str, kind: Kind, sequence: int = 0, target: str = "") -> None:
        held = self._roster.held(to)
        news = self._roster.spread.take(MAX_UPDATES - len(held), 1 + len(self._roster.members))
        self._number += 1
        own = self._roster
        message = Message(
            own.own_id, self._session, self._number, kind, own.incarnation, sequence, target, (*held, *news)
        )
        self._sends.append((to, message))

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def _pick(self, members: Sequence[Member], count: int) -> list[Member]:
        """So many of them by lot, in random order."""
        left = list(members)
        return [left.pop(int(self._random() * len(left))) for _ in range(min(count, len(left)))]

    def _outcome(self, time: float, dropped: str = "") -> Outcome:
        sends, self._sends = tuple(self._sends), []
        changes, self._roster.changes = tuple(self._roster.changes), []
        if len(self._roster.spread) and self._timers.spread == _NEVER:
            # At once, but after what came with it has been read.
            self._timers.spread = time
        return Outcome(sends, changes, dropped)
