"""Which words of other managers count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.raft.acquaintances import MEMBERS
from orchestrator.raft.elections import BEHIND, PRE_VOTE, PROMISE, Elections
from orchestrator.raft.stable_node import StableNode
from orchestrator.raft.timing import RaftTiming

PEERS = ("p1:1", "p2:1", "p3:1", "p4:1")
NODES = {peer: StableNode(peer) for peer in PEERS}


@dataclass
class FakeReplica:
    """A follower of p1 in term 5, one of five managers, with entries up to (5, 9)."""

    now: float = 100.0
    own_id: str = "own:1"
    term: int = 5
    leads: bool = False
    leader_id: str | None = "p1:1"
    peer_ids: tuple[str, ...] = PEERS
    last_entry: tuple[int, int] = (5, 9)
    is_handed_over_to: bool = False
    election_deadline: float = 101.0
    majority_answers: bool = True
    connected: set[str] = field(default_factory=lambda: set(PEERS))
    sent: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def is_connected(self, peer_id: str) -> bool:
        return peer_id in self.connected

    def heard_by_majority(self, since: float) -> bool:
        return self.majority_answers

    def election_timeout(self) -> float:
        return 1.0

    def random(self) -> float:
        return 0.5

    def follow(self, term: int) -> None:
        if term > self.term:
            self.term, self.leads, self.leader_id = term, False, None

    def miss_leader(self) -> None:
        self.leader_id = None

    def tell(self, node: StableNode, message: Mapping[str, Any]) -> None:
        self.sent.append((str(node.id), message))

    def tell_all(self, message: Mapping[str, Any]) -> None:
        self.sent += [(peer, message) for peer in self.peer_ids]


def elections(replica: FakeReplica) -> Elections:
    """With the leader just heard."""
    made = Elections(replica, RaftTiming())
    assert made.admit(NODES["p1:1"], {"type": "append_entries", "term": 5})
    return made


def ask(term: int = 6, last: tuple[int, int] = (5, 9), kind: str = PRE_VOTE, **more: Any) -> dict[str, Any]:
    return {"type": kind, "term": term, "last_log_term": last[0], "last_log_index": last[1], **more}


def silent(replica: FakeReplica) -> None:
    """Let the leader be silent for longer than anybody waits."""
    replica.now += 10.0


def test_nobody_is_promised_anything_while_the_leader_is_heard() -> None:
    replica = FakeReplica()
    assert not elections(replica).admit(NODES["p2:1"], ask())
    assert replica.sent == [("p2:1", {"type": MEMBERS, "members": ("own:1", *PEERS)})]


@pytest.mark.parametrize("reason", ["silence", "broken connection", "no leader"])
def test_a_promise_is_made_when_the_leader_is_missed(reason: str) -> None:
    replica = FakeReplica()
    tested = elections(replica)
    if reason == "silence":
        silent(replica)
    elif reason == "broken connection":
        replica.connected.discard("p1:1")
    else:
        replica.leader_id = None
    tested.admit(NODES["p2:1"], ask())
    assert replica.sent == [("p2:1", {"type": PROMISE, "term": 6})]


def test_no_promise_for_a_shorter_log() -> None:
    replica = FakeReplica(leader_id=None)
    elections(replica).admit(NODES["p2:1"], ask(last=(5, 8)))
    assert replica.sent == []


def test_who_asks_in_an_old_term_is_told_so() -> None:
    replica = FakeReplica(leader_id=None)
    elections(replica).admit(NODES["p2:1"], ask(term=5))
    assert replica.sent == [("p2:1", {"type": BEHIND, "term": 5})]


def test_a_leader_that_is_heard_votes_for_nobody() -> None:
    replica = FakeReplica(leads=True, leader_id="own:1")
    tested = Elections(replica, RaftTiming())
    assert not tested.admit(NODES["p2:1"], ask(kind="request_vote"))
    assert tested.admit(NODES["p2:1"], ask(kind="request_vote", by_order=True))
    replica.majority_answers = False
    assert tested.admit(NODES["p2:1"], ask(kind="request_vote"))


def test_a_majority_of_promises_lets_it_stand() -> None:
    replica = FakeReplica()
    tested = elections(replica)
    silent(replica)
    tested.before_tick()
    assert replica.leader_id is None
    assert [(peer, message["type"]) for peer, message in replica.sent] == [(peer, PRE_VOTE) for peer in PEERS]
    for _ in range(5):
        assert not tested.admit(NODES["p2:1"], {"type": PROMISE, "term": 6})
    assert replica.election_deadline > replica.now
    tested.admit(NODES["p3:1"], {"type": PROMISE, "term": 6})
    assert replica.election_deadline < replica.now
    tested.before_tick()
    assert replica.election_deadline < replica.now, "PySyncObj is to hold the election in this very tick"


@pytest.mark.parametrize(
    ("own_id", "last", "yields"),
    [("own:1", (5, 9), True), ("q:1", (5, 9), False), ("q:1", (5, 10), True), ("own:1", (5, 8), False)],
)
def test_of_two_that_ask_at_once_one_yields(own_id: str, last: tuple[int, int], yields: bool) -> None:
    replica = FakeReplica(own_id=own_id)
    tested = elections(replica)
    silent(replica)
    tested.before_tick()
    replica.sent.clear()
    tested.admit(NODES["p2:1"], ask(last=last))
    assert bool(replica.sent) is yields
    for peer in PEERS:
        tested.admit(NODES[peer], {"type": PROMISE, "term": 6})
    assert (replica.election_deadline < replica.now) is not yields


def test_promises_for_another_term_do_not_count() -> None:
    replica = FakeReplica()
    tested = elections(replica)
    silent(replica)
    tested.before_tick()
    for peer in PEERS:
        tested.admit(NODES[peer], {"type": PROMISE, "term": 7})
    assert replica.election_deadline > replica.now


def test_a_leader_heard_meanwhile_ends_it() -> None:
    replica = FakeReplica()
    tested = elections(replica)
    silent(replica)
    tested.before_tick()
    tested.admit(NODES["p1:1"], {"type": "append_entries", "term": 5})
    for peer in PEERS:
        tested.admit(NODES[peer], {"type": PROMISE, "term": 6})
    assert replica.election_deadline > replica.now


def test_a_vote_counts_once_per_voter_and_term() -> None:
    replica = FakeReplica(term=6)
    tested = Elections(replica, RaftTiming())
    vote = {"type": "response_vote", "term": 6}
    assert tested.admit(NODES["p2:1"], vote)
    assert not tested.admit(NODES["p2:1"], vote)
    assert tested.admit(NODES["p3:1"], vote)
    assert not tested.admit(StableNode("stranger:1"), vote)
    assert not tested.admit(NODES["p4:1"], {"type": "response_vote", "term": 5})
    replica.term = 7
    assert tested.admit(NODES["p2:1"], {"type": "response_vote", "term": 7})


def test_answers_of_an_old_term_are_passed_over() -> None:
    replica = FakeReplica(leads=True)
    tested = Elections(replica, RaftTiming())
    assert tested.admit(NODES["p2:1"], {"type": "next_node_idx", "term": 5})
    assert not tested.admit(NODES["p2:1"], {"type": "next_node_idx", "term": 4})


def test_a_deposed_leader_learns_it_from_whom_it_speaks_to() -> None:
    replica = FakeReplica(term=6)
    tested = Elections(replica, RaftTiming())
    assert not tested.admit(NODES["p1:1"], {"type": "append_entries", "term": 5})
    assert replica.sent == [("p1:1", {"type": BEHIND, "term": 6})]
    leader = FakeReplica(leads=True)
    assert not Elections(leader, RaftTiming()).admit(NODES["p2:1"], {"type": BEHIND, "term": 6})
    assert (leader.term, leader.leads) == (6, False)


def test_a_lost_leader_is_succeeded_soon() -> None:
    replica = FakeReplica()
    tested = elections(replica)
    tested.lost_connection("p2:1")
    assert replica.election_deadline == 101.0
    tested.lost_connection("p1:1")
    assert 100.0 < replica.election_deadline <= 100.0 + RaftTiming().succession_delay


def test_an_ordered_election_needs_no_promises() -> None:
    replica = FakeReplica(is_handed_over_to=True, election_deadline=0.0)
    tested = elections(replica)
    tested.before_tick()
    assert tested.stands_by_order
    assert replica.election_deadline == 0.0
    tested.after_tick()
    assert not tested.stands_by_order
