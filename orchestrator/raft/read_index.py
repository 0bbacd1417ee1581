"""Reads that miss nothing: Raft's ReadIndex (Ongaro's dissertation, section 6.4), without an entry in the log.

A manager that wants to read asks the leader how far the log is committed. Before the leader answers, a majority must
have said, after the question came, that it is in the leader's term: then no later leader can have acknowledged anything
the answer does not cover. All who ask while such a round is under way share the next one. Not in PySyncObj.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.raft.stable_node import StableNode

Message = Mapping[str, Any]
Waiting = Callable[[int | None], None]
"""Called with the index that must be applied before the read, or None when this manager does not lead."""

ASK, ANSWER, ROUND, IN_TERM = "read_ask", "read_answer", "read_round", "read_in_term"
QUESTIONS_MAX = 10_000


class Reader(Protocol):
    """What is asked of the replica."""

    @property
    def now(self) -> float:
        """Seconds on PySyncObj's clock."""
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
    def peer_ids(self) -> tuple[str, ...]:
        """The other managers."""
        ...

    @property
    def commit_index(self) -> int:
        """How far the log is committed, as far as known."""
        ...

    @property
    def has_committed_in_term(self) -> bool:
        """Whether the leader's first entry is committed: before that its commit index may be behind."""
        ...

    @property
    def leader_node(self) -> StableNode | None:
        """The leader, as far as known."""
        ...

    def tell(self, node: StableNode, message: Message) -> None:
        """Send a message to a peer."""
        ...

    def tell_all(self, message: Message) -> None:
        """Send a message to all peers."""
        ...


@dataclass(slots=True)
class ReadIndex:
    """One replica's questions, and as leader its rounds."""

    reader: Reader
    repeat_period: float
    """Seconds after which a round that is not over is announced again: a connection may have broken."""
    _questions: dict[int, Waiting] = field(default_factory=dict)
    """Of this manager to a leader elsewhere."""
    _asked: int = 0
    _waiting: list[Waiting] = field(default_factory=list)
    """Came after the round under way began: for the next."""
    _round: "_Round | None" = None
    _rounds: int = 0

    def ask(self, waiting: Waiting) -> None:
        """Find out how far the log is committed now. The answer may never come: the asker has a deadline."""
        if self.reader.leads:
            self._wait(waiting)
            return
        leader = self.reader.leader_node
        if leader is None or len(self._questions) >= QUESTIONS_MAX:
            waiting(None)
            return
        self._asked += 1
        self._questions[self._asked] = waiting
        self.reader.tell(leader, {"type": ASK, "number": self._asked})

    def fail_all(self) -> None:
        """The leader is another or none: nobody will answer."""
        failed = [*self._questions.values(), *self._waiting, *(self._round.waiting if self._round else ())]
        self._questions.clear()
        self._waiting.clear()
        self._round = None
        for waiting in failed:
            waiting(None)

    def before_tick(self) -> None:
        """Begin a round that was waiting for the leader's first entry, and say again what may have been lost."""
        if self._round is not None and (not self.reader.leads or self._round.term != self.reader.term):
            self.fail_all()
        if self._round is None:
            self._begin()
        elif self.reader.now - self._round.announced_at > self.repeat_period:
            self._announce(self._round)

    def admit(self, node: StableNode, message: Message) -> bool:
        """Look at a message before PySyncObj does; returns whether PySyncObj may see it."""
        kind = message["type"]
        if kind == ASK:
            self._answer(node, message["number"])
        elif kind == ANSWER:
            waiting = self._questions.pop(message["number"], None)
            if waiting is not None:
                waiting(message["index"])
        elif kind == ROUND:
            if message["term"] == self.reader.term:
                self.reader.tell(node, {"type": IN_TERM, "term": message["term"], "number": message["number"]})
        elif kind == IN_TERM:
            self._count(node, message)
        else:
            return True
        return False

    def _answer(self, node: StableNode, number: int) -> None:
        def answer(index: int | None) -> None:
            self.reader.tell(node, {"type": ANSWER, "number": number, "index": index})

        if self.reader.leads:
            self._wait(answer)
        else:
            answer(None)

    def _wait(self, waiting: Waiting) -> None:
        if len(self._waiting) >= QUESTIONS_MAX:
            waiting(None)
            return
        self._waiting.append(waiting)
        self._begin()

    def _begin(self) -> None:
        """Start the next round, if one is due and none is under way."""
        if self._round is not None or not self._waiting:
            return
        if not self.reader.leads or not self.reader.has_committed_in_term:
            return
        self._rounds += 1
        waiting, self._waiting = self._waiting, []
        self._round = _Round(self._rounds, self.reader.term, self.reader.commit_index, waiting)
        self._announce(self._round)
        self._conclude()

    def _announce(self, round_: "_Round") -> None:
        round_.announced_at = self.reader.now
        self.reader.tell_all({"type": ROUND, "term": round_.term, "number": round_.number})

    def _count(self, node: StableNode, message: Message) -> None:
        round_ = self._round
        if round_ is None or (message["term"], message["number"]) != (round_.term, round_.number):
            return
        if str(node.id) in self.reader.peer_ids:
            round_.in_term.add(str(node.id))
        self._conclude()

    def _conclude(self) -> None:
        round_ = self._round
        if round_ is None or not self.reader.leads or self.reader.term != round_.term:
            return
        if 2 * (1 + len(round_.in_term)) > 1 + len(self.reader.peer_ids):
            self._round = None
            for waiting in round_.waiting:
                waiting(round_.index)
            self._begin()


@dataclass(slots=True)
class _Round:
    number: int
    term: int
    index: int
    waiting: list[Waiting]
    announced_at: float = 0.0
    in_term: set[str] = field(default_factory=set)
