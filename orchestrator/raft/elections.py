"""Who may stand for election, who gets a vote, and which words of the past count: what PySyncObj leaves open.

PySyncObj has a follower that misses its leader raise the term at once, and whoever hears of a higher term obey, so a
manager that was cut off or slow deposes a healthy leader when it comes back. Here, as in Ongaro's dissertation
(section 9.6) and in etcd's Raft:

- **Pre-vote.** Before it stands, a manager asks the others whether they would vote for it, in a term that nobody takes
  yet. Only a majority of such promises lets PySyncObj hold its election.
- **Stickiness.** Who hears a leader, or leads and is heard by a majority, promises nothing and votes for nobody, save
  when the leader itself asked for the election because it hands over.
- **Votes are counted per voter**, so a message that comes twice is one vote.
- **Answers carry their term**, and one of an earlier term is passed over.
- **A manager whose term is behind is told so**: a deposed leader learns it from the first follower it speaks to, and a
  manager whose term ran ahead of the others' is not shut out for ever.
- **Succession.** When the connection to the leader breaks, the leader's machine has most likely died: the pre-vote
  comes after a moment instead of a whole election timeout. If the leader lives, the others hear it and say no.
- **Who is refused because there is a leader learns who the managers are** (`raft/acquaintances.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.raft.acquaintances import MEMBERS
from orchestrator.raft.stable_node import StableNode
from orchestrator.raft.timing import RaftTiming

Message = Mapping[str, Any]

PRE_VOTE, PROMISE, BEHIND = "pre_vote", "promise", "behind"
_NEVER = float("-inf")


class Candidate(Protocol):
    """What is asked of the replica."""

    election_deadline: float
    """When a follower that has heard nothing stands for election, in seconds of `now`."""

    @property
    def now(self) -> float:
        """Seconds on PySyncObj's clock."""
        ...

    @property
    def own_id(self) -> str:
        """Its own "address:port"."""
        ...

    @property
    def term(self) -> int:
        """The term it is in."""
        ...

    @property
    def leads(self) -> bool:
        """Whether it leads in that term."""
        ...

    @property
    def leader_id(self) -> str | None:
        """The leader of that term, as far as known."""
        ...

    @property
    def peer_ids(self) -> tuple[str, ...]:
        """The other managers."""
        ...

    @property
    def last_entry(self) -> tuple[int, int]:
        """(term, index) of the last log entry."""
        ...

    @property
    def is_handed_over_to(self) -> bool:
        """Whether the leader has asked it to stand for election at once."""
        ...

    def is_connected(self, peer_id: str) -> bool:
        """Whether there is a working connection with the peer."""
        ...

    def heard_by_majority(self, since: float) -> bool:
        """As leader: whether a majority, itself included, has answered since then."""
        ...

    def election_timeout(self) -> float:
        """A random one, in seconds."""
        ...

    def random(self) -> float:
        """A random number from 0 to 1."""
        ...

    def follow(self, term: int) -> None:
        """Be a follower in this term, if it is higher than the present one."""
        ...

    def miss_leader(self) -> None:
        """Know no leader any more."""
        ...

    def tell(self, node: StableNode, message: Message) -> None:
        """Send a message to a peer."""
        ...

    def tell_all(self, message: Message) -> None:
        """Send a message to all peers."""
        ...


@dataclass(slots=True)
class Elections:
    """One replica's part in elections. `before_tick` and `after_tick` go around PySyncObj's own tick."""

    candidate: Candidate
    timing: RaftTiming
    stands_by_order: bool = False
    """Whether the election PySyncObj is about to hold is one the leader asked for."""
    _heard_leader_at: float = _NEVER
    _promised_term: int = 0
    """The term promises are collected for; 0 when none are."""
    _promises: set[str] = field(default_factory=set)
    _voters: tuple[int, set[str]] = (0, set())

    def before_tick(self) -> None:
        """Ask for promises when the election timeout is over, instead of letting PySyncObj raise the term."""
        own = self.candidate
        if own.leads or own.election_deadline >= own.now:
            return
        if own.is_handed_over_to:
            self.stands_by_order = True
            return
        if self._has_majority(self._promises) and self._promised_term == own.term + 1:
            self._promised_term = 0
            return
        own.election_deadline = own.now + own.election_timeout()
        if not self._hears_leader():
            own.miss_leader()
        self._ask_for_promises()

    def after_tick(self) -> None:
        """The election, if there was one, has been called."""
        self.stands_by_order = False

    def lost_connection(self, peer_id: str) -> None:
        """Stand soon when the peer was the leader."""
        own = self.candidate
        if peer_id == own.leader_id and not own.leads:
            soon = own.now + self.timing.succession_delay * own.random()
            own.election_deadline = min(own.election_deadline, soon)

    def admit(self, node: StableNode, message: Message) -> bool:
        """Look at a message before PySyncObj does; returns whether PySyncObj may see it."""
        kind, term, own = message["type"], message.get("term", 0), self.candidate
        if kind == PRE_VOTE:
            self._promise(node, message)
        elif kind == PROMISE:
            self._take_promise(node, message)
        elif kind == BEHIND:
            own.follow(term)
        elif kind == "request_vote":
            return self._may_vote(node, message)
        elif kind == "response_vote":
            return self._is_new_voter(node, term)
        elif kind == "next_node_idx":
            own.follow(term)
            return bool(term == own.term)
        elif kind == "append_entries":
            if term < own.term:
                own.tell(node, {"type": BEHIND, "term": own.term})
                return False
            self._heard_leader_at = own.now
            self._promised_term = 0
            return True
        else:
            # A leader that was deposed with a command in its queue would pass it on: it was meant for another term.
            return bool(kind != "apply_command")
        return False

    def _hears_leader(self) -> bool:
        """Whether there is a leader that this manager has no reason to miss."""
        own = self.candidate
        since = own.now - self.timing.election_timeout_min
        if own.leads:
            return own.heard_by_majority(since)
        leader = own.leader_id
        return leader is not None and own.is_connected(leader) and self._heard_leader_at > since

    def _ask_for_promises(self) -> None:
        own = self.candidate
        self._promised_term = own.term + 1
        self._promises = {own.own_id}
        if self._has_majority(self._promises):
            self._stand()
            return
        last_term, last_index = own.last_entry
        own.tell_all(
            {"type": PRE_VOTE, "term": self._promised_term, "last_log_term": last_term, "last_log_index": last_index}
        )

    def _promise(self, node: StableNode, message: Message) -> None:
        own, term = self.candidate, message["term"]
        if term <= own.term:
            own.tell(node, {"type": BEHIND, "term": own.term})
        elif self._hears_leader():
            # Or it would miss a leader that it has never heard of.
            own.tell(node, {"type": MEMBERS, "members": (own.own_id, *own.peer_ids)})
        elif self._yields_to(node, message):
            # Whoever has a promise has a moment to make use of it.
            self._promised_term = 0
            own.election_deadline = max(own.election_deadline, own.now + self.timing.succession_delay)
            own.tell(node, {"type": PROMISE, "term": term})

    def _take_promise(self, node: StableNode, message: Message) -> None:
        own, term = self.candidate, message["term"]
        if term != self._promised_term or term != own.term + 1 or str(node.id) not in own.peer_ids:
            return
        self._promises.add(str(node.id))
        if self._has_majority(self._promises):
            self._stand()

    def _stand(self) -> None:
        """Let PySyncObj hold the election in its next tick."""
        self.candidate.election_deadline = self.candidate.now - 1.0

    def _may_vote(self, node: StableNode, message: Message) -> bool:
        own, term = self.candidate, message["term"]
        if term < own.term:
            own.tell(node, {"type": BEHIND, "term": own.term})
            return False
        return bool(message.get("by_order")) or not self._hears_leader()

    def _yields_to(self, node: StableNode, message: Message) -> bool:
        """Whether the other one's log is as complete; of two that ask at the same time only one yields."""
        own, other_entry = self.candidate, (message["last_log_term"], message["last_log_index"])
        if self._promised_term == own.term + 1:
            return (other_entry, str(node.id)) > (own.last_entry, own.own_id)
        return bool(other_entry >= own.last_entry)

    def _is_new_voter(self, node: StableNode, term: int) -> bool:
        own = self.candidate
        if term != own.term or str(node.id) not in own.peer_ids:
            return False
        counted_in, voters = self._voters
        if counted_in != term:
            voters = set()
            self._voters = (term, voters)
        if str(node.id) in voters:
            return False
        voters.add(str(node.id))
        return True

    def _has_majority(self, promises: set[str]) -> bool:
        return 2 * len(promises) > 1 + len(self.candidate.peer_ids)
