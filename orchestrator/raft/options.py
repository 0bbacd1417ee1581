"""What makes a replica this one, and how PySyncObj is told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from pysyncobj import SyncObjConf

from orchestrator.raft.cluster_clock import ClusterClock
from orchestrator.raft.entry_cipher import EntryCipher, NoCipher
from orchestrator.raft.journal import DurableJournal, MemoryJournal
from orchestrator.raft.timing import RaftTiming

BATCH_SIZE_MAX = 4 * 2**20
"""Bytes of an encoded batch; thousands of tasks fit."""
MESSAGE_SIZE_MAX = 4 * BATCH_SIZE_MAX
_SOCKET_BUFFER_SIZE = 2**18
_QUEUE_SIZE = 1000
_SOLE_ELECTION_TIMEOUT = 0.004
_NEVER = 1e9


class Beginning(Enum):
    """What a manager may assume when it starts."""

    ALONE = "alone"
    """There is no other manager: it elects itself at once."""
    JOINING = "joining"
    """Others run already: it waits for their leader's first word, however long, and does not stand for election."""
    RETURNING = "returning"
    """It was a member before: it waits one election timeout."""


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """What makes a replica this one."""

    node_id: str
    """"address:port" the others know it by."""
    peers: tuple[str, ...]
    beginning: Beginning
    transport: Callable[..., Any]
    """Called with (replica, own node, other nodes); returns a PySyncObj transport."""
    timing: RaftTiming = field(default_factory=RaftTiming)
    journal: DurableJournal | MemoryJournal = field(default_factory=MemoryJournal)
    """The replica closes it. The one in memory is for the simulation."""
    dump: Path | None = None
    """Where snapshots are kept; None keeps them in memory."""
    cipher: EntryCipher | NoCipher = field(default_factory=NoCipher)
    """Under which batches are proposed and snapshots kept."""
    clock: ClusterClock = field(default_factory=ClusterClock)
    before_release: Callable[[Any], None] = lambda replica: None
    """Called with the replica when its journal is synced, before anybody is told of what is in it."""


def configuration(options: ReplicaOptions, serializer: object, deserializer: object) -> Any:
    """PySyncObj's settings; `serializer` writes a snapshot to a path, `deserializer` reads it."""
    timing = options.timing
    shortest, longest = {
        Beginning.ALONE: (_SOLE_ELECTION_TIMEOUT, _SOLE_ELECTION_TIMEOUT * 2),
        Beginning.JOINING: (_NEVER, _NEVER * 2),
        Beginning.RETURNING: (timing.election_timeout_min, timing.election_timeout_max),
    }[options.beginning]
    return SyncObjConf(
        autoTick=False,
        bindAddress=options.node_id,
        bindRetryTime=1e-9,
        maxBindRetries=1,
        raftMinTimeout=shortest,
        raftMaxTimeout=longest,
        # PySyncObj demands these proportions to the election timeouts; `_make_transport` puts in the real values.
        appendEntriesPeriod=min(timing.heartbeat_period, shortest / 4),
        connectionTimeout=max(timing.connection_timeout, longest),
        # With it a proposal would wait for the next heartbeat.
        appendEntriesUseBatch=False,
        leaderFallbackTimeout=timing.leader_fallback,
        connectionRetryTime=timing.connection_retry,
        # PySyncObj splits a longer entry wrongly when its length is just below a multiple of this.
        appendEntriesBatchSizeBytes=MESSAGE_SIZE_MAX,
        sendBufferSize=_SOCKET_BUFFER_SIZE,
        recvBufferSize=_SOCKET_BUFFER_SIZE,
        commandsWaitLeader=False,
        commandsQueueSize=_QUEUE_SIZE,
        dynamicMembershipChange=True,
        useFork=False,
        logCompactionMinEntries=timing.compaction_entries,
        logCompactionMinTime=timing.compaction_period,
        journalFile=options.journal,
        fullDumpFile=None if options.dump is None else str(options.dump),
        serializer=None if options.dump is None else serializer,
        deserializer=None if options.dump is None else deserializer,
    )
