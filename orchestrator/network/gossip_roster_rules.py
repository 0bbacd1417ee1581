"""What a node holds of every member, and which word about one is believed over which. Pure.

SWIM (Das, Gupta, Motivala: "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol", DSN
2002), section 4.2: a member alone raises its incarnation number; a higher number wins, and among equal ones the worse
standing. Unlike there, a member held dead may come back: the managers decide who is a member, not the gossip.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from orchestrator.network.gossip_message_rules import Standing, Update
from orchestrator.network.gossip_replay_rules import ReplayGuard
from orchestrator.network.gossip_spread_rules import Spread
from orchestrator.network.gossip_suspicion_rules import Suspicion


@dataclass(slots=True)
class Member:
    """Another node."""

    id: str
    standing: Standing = Standing.ALIVE
    incarnation: int = 0
    is_heard: bool = False
    """Whether it ever answered us. Before that its silence means nothing: it may not take part yet."""
    suspicion: Suspicion | None = None
    guard: ReplayGuard = field(default_factory=ReplayGuard)


@dataclass(frozen=True, slots=True)
class Change:
    """A member's standing became another."""

    member: str
    standing: Standing
    before: Standing


class Roster:
    """All other members, this node's own incarnation, and the news to pass on."""

    def __init__(self, own_id: str) -> None:
        self.own_id = own_id
        self.incarnation = 0
        self.members: dict[str, Member] = {}
        self.spread = Spread()
        self.changes: list[Change] = []
        """Until whoever hands them on empties it."""

    @property
    def size(self) -> int:
        """Members not held dead, this node included."""
        return 1 + len(self.living())

    def living(self) -> list[Member]:
        """Others that are not held dead."""
        return [member for member in self.members.values() if member.standing is not Standing.DEAD]

    def suspects(self) -> list[Member]:
        """Others that may be held dead soon."""
        return [member for member in self.members.values() if member.standing is Standing.SUSPECT]

    def dead(self) -> list[Member]:
        """Others that are held dead."""
        return [member for member in self.members.values() if member.standing is Standing.DEAD]

    def follow(self, member_ids: Sequence[str]) -> None:
        """Have exactly these members. A new one counts as alive."""
        for gone in [member_id for member_id in self.members if member_id not in member_ids]:
            del self.members[gone]
            self.spread.forget(gone)
        for member_id in member_ids:
            if member_id != self.own_id:
                self.members.setdefault(member_id, Member(member_id))

    def believe(self, update: Update, time: float) -> bool:
        """Take an update for true if it outranks what is held; returns whether it did.

        Of this node itself: whether it was an accusation, which is now refuted.
        """
        if update.member == self.own_id:
            return self._refute(update)
        member = self.members.get(update.member)
        if member is None or not self._outranks(update, member):
            return False
        if self._is_further_voice(update, member):
            if member.suspicion is None or not member.suspicion.confirm(update.by):
                return False
        else:
            self._set(member, update, time)
        self.spread.add(update)
        return True

    def accuse(self, member: Member, time: float) -> None:
        """This node's own probing found the member silent."""
        if member.is_heard and member.standing is not Standing.DEAD:
            self.believe(Update(member.id, Standing.SUSPECT, member.incarnation, self.own_id), time)

    def expire(self, time: float) -> None:
        """Hold dead who did not refute in time."""
        for member in self.living():
            if member.suspicion is not None and member.suspicion.until <= time:
                self.believe(Update(member.id, Standing.DEAD, member.incarnation, self.own_id), time)

    def held(self, member_id: str) -> tuple[Update, ...]:
        """What a member that is not held alive must hear to refute it; else nothing."""
        member = self.members.get(member_id)
        if member is None or member.standing is Standing.ALIVE:
            return ()
        return (Update(member.id, member.standing, member.incarnation, self.own_id),)

    def deadlines(self) -> Iterable[float]:
        """When suspicions run out."""
        return (member.suspicion.until for member in self.members.values() if member.suspicion is not None)

    def _refute(self, update: Update) -> bool:
        if update.standing is Standing.ALIVE:
            # Of an earlier life of this node.
            self.incarnation = max(self.incarnation, update.incarnation)
            return False
        if update.incarnation < self.incarnation:
            return False
        self.incarnation = update.incarnation + 1
        self.spread.add(Update(self.own_id, Standing.ALIVE, self.incarnation))
        return True

    def _outranks(self, update: Update, member: Member) -> bool:
        if self._is_further_voice(update, member):
            return True
        return (update.incarnation, update.standing) > (member.incarnation, member.standing)

    def _is_further_voice(self, update: Update, member: Member) -> bool:
        is_suspected = update.standing is member.standing is Standing.SUSPECT
        return is_suspected and update.incarnation == member.incarnation

    def _set(self, member: Member, update: Update, time: float) -> None:
        before = member.standing
        member.standing, member.incarnation, member.suspicion = update.standing, update.incarnation, None
        if update.standing is Standing.SUSPECT:
            member.suspicion = Suspicion(time, self.size, {update.by: None})
        if update.standing is not before:
            self.changes.append(Change(member.id, update.standing, before))
