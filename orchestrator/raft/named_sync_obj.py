"""PySyncObj's state under Raft's names: what a replica, its elections and its reads ask of the library, and tell it.

The library has no interface for most of it, so this is the one place that knows the names it keeps it under (0.3.17).
"""

import os
from contextlib import suppress

from pysyncobj import SyncObj, syncobj

from orchestrator.model.consensus import PeerStatus
from orchestrator.raft.stable_node import StableNode


class NamedSyncObj(SyncObj):  # type: ignore[misc]  # the library has no types
    """A PySyncObj that can be asked by name."""

    @property
    def leads(self) -> bool:
        """Whether this replica won the election of its term; what earlier leaders committed may not be applied yet."""
        return bool(self._isLeader())

    @property
    def leader_id(self) -> str | None:
        """ "address:port" of the leader, as far as known."""
        node = self._getLeader()
        return None if node is None else str(node.id)

    @property
    def term(self) -> int:
        """The number of the election that counts here."""
        return int(self.raftCurrentTerm)

    @property
    def peer_ids(self) -> tuple[str, ...]:
        """ "address:port" of the other managers, sorted."""
        return tuple(sorted(node.id for node in self.otherNodes))

    def is_connected(self, peer_id: str) -> bool:
        """Whether there is a working connection with the peer."""
        return bool(self.isNodeConnected(StableNode(peer_id)))

    @property
    def now(self) -> float:
        """Seconds on PySyncObj's clock."""
        return float(syncobj.monotonicTime())

    @property
    def own_id(self) -> str:
        """Its own "address:port"."""
        return str(self.selfNode.id)

    @property
    def last_entry(self) -> tuple[int, int]:
        """(term, index) of the last log entry."""
        _, index, term = self._SyncObj__raftLog[-1]
        return term, index

    @property
    def election_deadline(self) -> float:
        """When a follower that has heard nothing stands for election, in seconds of `now`."""
        return float(self._SyncObj__raftElectionDeadline)

    @election_deadline.setter
    def election_deadline(self, deadline: float) -> None:
        self._SyncObj__raftElectionDeadline = deadline

    @property
    def is_handed_over_to(self) -> bool:
        """Whether the leader has asked this one to stand for election at once."""
        return bool(self._SyncObj__transferInProgress)

    @property
    def commit_index(self) -> int:
        """How far the log is committed, as far as known."""
        return int(self.raftCommitIndex)

    @property
    def has_committed_in_term(self) -> bool:
        """Whether this leader's first entry is committed."""
        first = self._SyncObj__noopIDx
        return first is not None and self.commit_index >= first

    @property
    def leader_node(self) -> StableNode | None:
        """The leader, as far as known."""
        node: StableNode | None = self._getLeader()
        return node

    @property
    def reaches_leader(self) -> bool:
        """Whether it leads or has a working connection with the leader."""
        leader = self.leader_node
        return self.leads or (leader is not None and bool(self.isNodeConnected(leader)))

    def has_answered(self, peer_id: str, since: float) -> bool:
        """As leader: whether the peer has answered since then."""
        return bool(self._SyncObj__lastResponseTime.get(StableNode(peer_id), since) > since)

    def peer_status(self, peer_id: str, since: float) -> PeerStatus:
        """What is known of a peer; `since` is when an answer counts from."""
        peer = StableNode(peer_id)
        return PeerStatus(
            peer_id,
            connected=self.is_connected(peer_id),
            answered=self.leads and self.has_answered(peer_id, since),
            next_index=self._SyncObj__raftNextIndex.get(peer, 0),
            match_index=self._SyncObj__raftMatchIndex.get(peer, 0),
        )

    def heard_by_majority(self, since: float) -> bool:
        """As leader: whether a majority, itself included, has answered since then."""
        heard = sum(self.has_answered(peer, since) for peer in self.peer_ids)
        return 2 * (1 + heard) > 1 + len(self.otherNodes)

    def election_timeout(self) -> float:
        """A random one, in seconds."""
        return float(self._SyncObj__generateRaftTimeout())

    def random(self) -> float:
        """A random number from 0 to 1, of PySyncObj's dice."""
        return float(syncobj.random.random())

    def follow(self, term: int) -> None:
        """Be a follower in this term, if it is higher than the present one."""
        if term > self.term:
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__setState(syncobj._RAFT_STATE.FOLLOWER)
            self.miss_leader()

    def miss_leader(self) -> None:
        """Know no leader any more."""
        self._SyncObj__raftLeader = None

    def send_soon(self) -> None:
        """Let a leader speak to its followers in the next tick: one has connected, or said where its log ends.

        PySyncObj would wait for the next heartbeat both times, and a joining manager with it.
        """
        self._SyncObj__newAppendEntriesTime = 0.0

    def close(self) -> None:
        """Close connections and files."""
        self.destroy()
        # PySyncObj never closes the pipe by which other threads would wake its tick.
        notifier = vars(self).get("_SyncObj__pipeNotifier")
        for name in ("_PipeNotifier__pipeR", "_PipeNotifier__pipeW"):
            with suppress(OSError, AttributeError):
                os.close(getattr(notifier, name))
