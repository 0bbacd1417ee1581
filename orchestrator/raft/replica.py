"""One manager's copy of the replicated log and of the state it builds; no event loop, no clock of its own.

`RaftStore` drives it in the daemon, the simulation on a simulated clock: both by calling `doTick`.
"""

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pysyncobj import replicated

from orchestrator.model.errors import ClusterError
from orchestrator.raft import log_matching, snapshots
from orchestrator.raft.acquaintances import Acquaintances
from orchestrator.raft.elections import Elections
from orchestrator.raft.journal import LogEntry
from orchestrator.raft.named_sync_obj import NamedSyncObj
from orchestrator.raft.options import ReplicaOptions, configuration
from orchestrator.raft.outbox import Outbox
from orchestrator.raft.read_index import ReadIndex
from orchestrator.raft.stable_node import StableNode
from orchestrator.state.apply import apply
from orchestrator.state.cluster_state import ClusterState
from orchestrator.state.codec import decode_batch, decode_state, encode_state

logger = logging.getLogger(__name__)

BARRIER = b""
"""A batch that changes nothing: when it is applied, everything committed before it has been."""

COMPACTION_RETRY_SECONDS = 60.0
ENTRY_OVERHEAD = 64
"""Bytes an entry takes in the journal beside its batch, at most."""
ROOM_TO_LEAD_BYTES = 2**16
"""Without so much room on its disk a manager counts as full: it is not asked to lead, nor trusted with new entries."""


class Replica(NamedSyncObj):
    """PySyncObj with one replicated method: apply a batch."""

    def __init__(self, options: ReplicaOptions) -> None:
        # PySyncObj's constructor reads every attribute of the object, so ours come first.
        self.state = ClusterState()
        self.options = options
        self.journal = options.journal
        self.transport: Any
        self.outbox: Outbox
        self.elections = Elections(self, options.timing)
        self.acquaintances = Acquaintances(self)
        self.reads = ReadIndex(self, options.timing.heartbeat_period)
        self._compact_at = 0.0
        self._is_compacting = False
        self._peer_has_room: dict[str, bool] = {}
        """By peer, what its last answer said: whether its disk has room for more than the next few entries."""
        self._mismatches: dict[tuple[int, str], int] = {}
        """As leader of a term: the earliest place in its log that a follower asked for, until it has what is there."""
        self._started = False
        self._has_snapshot = True
        """Whether the snapshot read last is in place."""
        self._members_sent: Sequence[str] = ()
        """With a snapshot: who the managers are for the leader that sends it."""
        super().__init__(
            StableNode(options.node_id),
            [StableNode(peer) for peer in options.peers],
            conf=configuration(options, self._write_dump, self._read_dump),
            nodeClass=StableNode,
            transportClass=self._make_transport,
        )
        self.transport.setOnMessageReceivedCallback(self._receive)
        self.transport.setOnNodeDisconnectedCallback(self._lose_connection)

    @replicated  # type: ignore[untyped-decorator]
    def apply_batch(self, encoded: bytes) -> ClusterError | None:
        """Apply a committed batch, the same on every manager; returns why it was refused.

        Raises nothing: an exception would stop the log here for ever, on all managers alike.
        """
        if encoded == BARRIER:
            return None
        try:
            batch = decode_batch(self.options.cipher.open(encoded))
            self.options.clock.pass_by(batch.at)
            apply(self.state, batch)
        except ClusterError as error:
            return error.with_traceback(None)
        except MemoryError:
            # Of this machine, not of the batch: PySyncObj applies the entry again in the next tick.
            raise
        except Exception as error:  # a bug in `apply` fails the batch on every manager, not the log
            logger.exception("a committed batch could not be applied")
            return ClusterError(f"internal error: {error}")
        return None

    def tell(self, node: StableNode, message: Mapping[str, Any]) -> None:
        """Send a message to a peer."""
        self.outbox.send(node, message)

    def tell_all(self, message: Mapping[str, Any]) -> None:
        """Send a message to all peers, in order of their names."""
        for node in sorted(self.otherNodes, key=str):
            self.outbox.send(node, message)

    def can_keep(self, size: int) -> bool:
        """Whether an entry of so many bytes finds room on this manager's disk, and on those of a majority."""
        peers = self.peer_ids
        with_room = 1 + sum(self._peer_has_room.get(peer, True) for peer in peers)
        return 2 * with_room > 1 + len(peers) and self.journal.has_room(size + ENTRY_OVERHEAD)

    def make_way(self) -> None:
        """As leader whose own disk is full: ask a follower with the whole log to lead, if a majority has room.

        Without such a majority a successor could keep nothing either, and a change of leaders costs each of them room.
        """
        with_room = [peer for peer in self.peer_ids if self._peer_has_room.get(peer) and self.is_connected(peer)]
        if self.journal.has_room(ROOM_TO_LEAD_BYTES) or 2 * len(with_room) <= 1 + len(self.peer_ids):
            return
        for peer in with_room:
            if self.peer_status(peer, self.now).match_index == self.last_entry[1]:
                logger.warning("raft: no space left on device, asking another manager to lead", extra={"peer": peer})
                self.transferLeadership(StableNode(peer))
                return

    def _make_transport(self, _: object, self_node: StableNode, other_nodes: Iterable[StableNode]) -> Any:
        """Called by PySyncObj's constructor when it has drawn the first election deadline.

        Every later deadline comes from the configuration as it then is, and connections take their timeout from it as
        they are made: so here, and only here, the first deadline can be told apart from the rest.
        """
        timing = self.options.timing
        self.conf.raftMinTimeout = timing.election_timeout_min
        self.conf.raftMaxTimeout = timing.election_timeout_max
        self.conf.appendEntriesPeriod = timing.heartbeat_period
        self.conf.connectionTimeout = timing.connection_timeout
        self.transport = self.options.transport(self, self_node, other_nodes)
        self.outbox = Outbox(self.transport, self._complete)
        return self.outbox

    def _complete(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """The message with what PySyncObj leaves out of it."""
        if message["type"] == "next_node_idx":
            return {"has_room": self.journal.has_room(ROOM_TO_LEAD_BYTES), **message, "term": self.term}
        if message["type"] == "request_vote":
            return {**message, "by_order": self.elections.stands_by_order}
        if message["type"] == "append_entries":
            message = {**message, "time": self.options.clock.now()}
        if message.get("serialized") is not None:
            # After a snapshot the log begins with the last two entries in it.
            _, index, term = self.journal[1]
            return {**message, "last_index": index, "last_term": term, "members": (self.own_id, *self.peer_ids)}
        return message

    def _lose_connection(self, node: StableNode) -> None:
        self._SyncObj__onNodeDisconnected(node)
        self.elections.lost_connection(str(node.id))

    def _receive(self, node: StableNode, message: Mapping[str, Any]) -> None:
        """Put PySyncObj's handling of a message right where it is not Raft's."""
        readers = (self.acquaintances, self.elections, self.reads)
        if not all(reader.admit(node, message) for reader in readers):
            return
        if message["type"] == "append_entries":
            if message["term"] >= self.term:
                self.options.clock.hear(message["time"])
            if not self._has_room_for(message):
                message = self._refuse_entries(node, message)
            elif "entries" in message:
                message = self._match(node, message)
            elif log_matching.is_old_snapshot(message, self._term_at):
                self.outbox.send(node, log_matching.acknowledgement(message["last_index"]))
                message = log_matching.sign_of_life(message, self.commit_index)
            else:
                # Nothing says yet that the log matches the leader's: PySyncObj would commit what is in it. And it
                # answers only the last piece, while a leader that nobody answers steps down.
                self.outbox.send(node, log_matching.HEARD)
                # A piece may be empty: the leader is writing the snapshot, or cannot read it.
                self._members_sent = message.get("members", self._members_sent)
                message = {**message, "commit_index": self.commit_index}
        elif message["type"] == "next_node_idx":
            message = self._hear_answer(node, message)
        self._SyncObj__onMessageReceived(node, message)
        if not self._has_snapshot:
            # PySyncObj says of a snapshot that could not be put in place that it has been.
            self._has_snapshot = True
            self.outbox.drop(node)

    def _hear_answer(self, node: StableNode, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Note what a follower says of its log and its disk.

        PySyncObj goes on from wherever the follower's last word says, also when an earlier one named an earlier place:
        of several words under way at once the last one then wins for ever. The earliest place counts, until it fits.
        """
        peer = str(node.id)
        self._peer_has_room[peer] = message["has_room"]
        if message["success"]:
            self._mismatches.pop((self.term, peer), None)
        if not message["reset"]:
            return message
        before = self._mismatches.get((self.term, peer))
        place = message["next_node_idx"] if before is None else min(before, message["next_node_idx"])
        if place != before:
            self._mismatches = {key: known for key, known in self._mismatches.items() if key[0] == self.term}
            self._mismatches[self.term, peer] = place
            self.send_soon()
        return {**message, "next_node_idx": place}

    def _match(self, node: StableNode, message: Mapping[str, Any]) -> Mapping[str, Any]:
        message = log_matching.trim(message, self._term_at)
        if log_matching.covers_less_than_known(message, self._term_at):
            self.outbox.send(node, log_matching.acknowledgement(message["prevLogIdx"]))
            # Entries behind what matches may be a deposed leader's.
            known = min(message["commit_index"], message["prevLogIdx"])
            message = log_matching.sign_of_life(message, known)
        return message

    def _has_room_for(self, message: Mapping[str, Any]) -> bool:
        size = sum(len(command) + ENTRY_OVERHEAD for command, _, _ in message.get("entries", ()))
        return size == 0 or self.journal.has_room(size)

    def _refuse_entries(self, node: StableNode, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """The disk is full: stay a follower that hears its leader, and neither keep nor acknowledge what it sends.

        The leader sends on behind what it believes to have arrived; that does not fit, and when there is room again
        PySyncObj asks for what is missing.
        """
        self.outbox.send(node, {**log_matching.HEARD, "has_room": False})
        return log_matching.sign_of_life(message, self.commit_index)

    def _term_at(self, index: int) -> int | None:
        position = index - self.journal[0][1]
        return int(self.journal[position][2]) if 0 <= position < len(self.journal) else None

    def _write_dump(self, path: str, data: tuple[LogEntry, LogEntry, Iterable[StableNode]]) -> None:
        self._is_compacting = True
        last_entry, entry_before, cluster = data
        members = tuple(sorted(str(node.id) for node in cluster))
        dump = snapshots.Dump(self.options.cipher.seal(encode_state(self.state)), last_entry, entry_before, members)
        try:
            snapshots.write_dump(Path(path), dump)
        except OSError as error:
            logger.error("no snapshot can be written: %s", error)
            self._compact_at = self.now + COMPACTION_RETRY_SECONDS
            raise

    def _SyncObj__tryLogCompaction(self) -> None:
        """Called by PySyncObj in each tick. A snapshot that was written, or failed, is done with at once.

        Left for the next tick, it would come after that tick's sending, which finds no snapshot to send until then:
        to a manager that needs one PySyncObj sends empty messages meanwhile, as fast as it can, for a whole period.
        """
        super()._SyncObj__tryLogCompaction()
        if self._is_compacting:
            self._is_compacting = False
            super()._SyncObj__tryLogCompaction()

    def _read_dump(self, path: str) -> tuple[LogEntry, LogEntry, Sequence[StableNode]]:
        self._has_snapshot = False
        if self._started:
            # The leader's: it counts this manager among those who have what is in it as soon as that is acknowledged.
            snapshots.make_durable(Path(path))
        dump = snapshots.read_dump(Path(path))
        self.state = decode_state(self.options.cipher.open(dump.state))
        self._has_snapshot = True
        # The dump may be older than what is known of the managers: it may lack those who became managers since, the
        # leader among them, and nobody takes a log from a stranger. The log behind it leads to the present ones again.
        members = self._members_sent if self._started else (self.options.node_id, *self.options.peers)
        return dump.last_entry, dump.entry_before, [StableNode(member) for member in members]

    def _SyncObj__doChangeCluster(self, request: Sequence[Any], reverse: bool = False) -> bool:
        """Called by PySyncObj for each change of the managers, as it is appended and again as it is applied.

        No leader removes itself: where the log that it sends says so, it was removed once and added again. A follower
        that let it go would hear no more of the log, nor of its return.
        """
        kind, node_id = request[0], str(request[1])
        if kind == "rem" and not reverse and node_id == self.leader_id:
            return False
        return bool(super()._SyncObj__doChangeCluster(request, reverse))

    def doTick(self, timeToWait: float = 0.0) -> None:
        """One round of timers, proposals and applying. Raises `OSError` when the journal fails.

        Twice synced at most: a leader counts itself among those who have an entry, so what it has must be on its disk
        before PySyncObj counts; and what the tick itself brought is synced after it was sent, while the others write.
        """
        # PySyncObj would try a snapshot that failed again in every tick.
        timing, may_compact = self.options.timing, self.now >= self._compact_at
        self.conf.logCompactionMinEntries = timing.compaction_entries if may_compact else sys.maxsize
        self.conf.logCompactionMinTime = timing.compaction_period if may_compact else float("inf")
        self.acquaintances.before_tick()
        self.elections.before_tick()
        self.reads.before_tick()
        self.journal.sync()
        super().doTick(timeToWait)
        self.elections.after_tick()
        self.journal.sync()
        self.options.before_release(self)
        self.outbox.release()
        self._started = True
