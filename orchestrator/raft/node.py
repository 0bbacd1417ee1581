"""The `Store` of a manager: a `Replica` driven by the event loop.

Everything happens on the loop's thread. What arrives is handled when it arrives, proposals at once; a slow timer
looks after elections. This module decides nothing about the cluster.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pysyncobj import FAIL_REASON, SyncObjException

from orchestrator.model.consensus import ConsensusStatus
from orchestrator.model.errors import InvalidArgument, LostLeadership, NoLeader, Unavailable
from orchestrator.raft.cluster_clock import ClusterClock
from orchestrator.raft.entry_cipher import EntryCipher, NoCipher
from orchestrator.raft.journal import DurableJournal
from orchestrator.raft.options import BATCH_SIZE_MAX, Beginning, ReplicaOptions
from orchestrator.raft.poller import EpollPoller
from orchestrator.raft.proposals import Proposals
from orchestrator.raft.reads import READ_TIMEOUT, Reads
from orchestrator.raft.replica import BARRIER, Replica
from orchestrator.raft.status import status_of
from orchestrator.raft.store_files import StoreFiles
from orchestrator.raft.timing import RaftTiming
from orchestrator.raft.tls_socket import PeerTls
from orchestrator.raft.transport import ManagerTransport
from orchestrator.state.actions import Action, Batch
from orchestrator.state.cluster_state import ClusterState
from orchestrator.state.codec import encode_batch

logger = logging.getLogger(__name__)

RAFT_PORT = 2378
PROPOSE_TIMEOUT = 20.0
"""Seconds; the Docker CLI itself waits without limit."""

TOO_LARGE = "raft: raft message is too large and can't be sent"
"""swarmkit's text."""

NO_ROOM = "raft: no space left on device: the managers can keep no further change"

_FAILED_TICKS_MAX = 10


class RaftStore:
    """The replicated state as this manager sees it; implements `interfaces.Store`.

    Not started by its constructor: `start`, use, `close`. After `close`, or when its files fail, every proposal
    raises `Unavailable`.
    """

    def __init__(
        self,
        address: str,
        data_directory: Path,
        tls: PeerTls,
        *,
        peers: Sequence[str] = (),
        port: int = RAFT_PORT,
        timing: RaftTiming | None = None,
        log_key: str = "",
    ) -> None:
        """`address` is the IPv4 address to listen on and be known by; `tls` is how managers prove who they are.

        `log_key`, in hex, is what the log is sealed under; without it the log is in clear.

        `peers`: addresses of the managers to join, empty for the first manager of a cluster, both ignored when the
        directory shows that this manager was a member before. A joining manager starts first and is added then.
        """
        self.address = address
        self._port = port
        self._files = StoreFiles(data_directory)
        self._tls = tls
        self._cipher = EntryCipher(log_key) if log_key else NoCipher()
        self._first_peers = tuple(f"{peer}:{port}" for peer in sorted(peers) if peer != address)
        self._timing = timing or RaftTiming()
        self._replica: Replica | None = None
        self._last_state = ClusterState()
        self._clock = ClusterClock()
        self._poller: EpollPoller | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tick_requested = False
        self._ticked = False
        """Whether something else than the timer has ticked since the timer last looked."""
        self._failed_ticks = 0
        self._closing: asyncio.Task[None] | None = None
        self._proposals = Proposals()
        self._reads = Reads()
        self._subscribers: dict[object, Callable[[], None]] = {}
        self._notification: asyncio.Handle | None = None
        self._leading_term: int | None = None
        self._leader_since: float | None = None
        self._seen: object = None
        self.failure: BaseException | None = None
        """Why the store stopped by itself; None while all is well."""

    # Reading -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> ClusterState:
        """This manager's replica. Ask again after every wait: a snapshot from the leader replaces the object."""
        return self._last_state if self._replica is None else self._replica.state

    @property
    def is_leader(self) -> bool:
        """Whether this manager leads and has applied all that earlier leaders committed."""
        return self._leader_since is not None

    @property
    def leader_since(self) -> float | None:
        """When this manager became leader, seconds since the epoch; None while it does not lead."""
        return self._leader_since

    @property
    def leader_address(self) -> str | None:
        """IPv4 address of the leader, as far as known; None too while this manager takes office."""
        replica = self._replica
        if replica is None or replica.leader_id is None or (replica.leads and not self.is_leader):
            return None
        return replica.leader_id.rpartition(":")[0]

    @property
    def term(self) -> int:
        """The number of the election that counts here."""
        return 0 if self._replica is None else self._replica.term

    @property
    def leading_term(self) -> int | None:
        """The number of the election by which this manager leads; None while `is_leader` is false."""
        return None if self._leader_since is None else self._leading_term

    def now(self) -> float:
        """The cluster's time, seconds since the epoch."""
        return self._clock.now()

    @property
    def is_ready(self) -> bool:
        """Whether this manager has once caught up with a leader since it started."""
        return self._replica is not None and bool(self._replica.isReady())

    @property
    def peers(self) -> Mapping[str, bool]:
        """The other managers' addresses, and whether this one has a working connection with each."""
        replica = self._replica
        if replica is None:
            return {}
        return {peer.rpartition(":")[0]: replica.is_connected(peer) for peer in replica.peer_ids}

    @property
    def answering_peers(self) -> tuple[str, ...]:
        """As leader: addresses of the managers that have answered as lately as a leader needs a majority to."""
        replica = self._replica
        if replica is None:
            return ()
        since = replica.now - self._timing.leader_fallback
        return tuple(peer.rpartition(":")[0] for peer in replica.peer_ids if replica.has_answered(peer, since))

    @property
    def status(self) -> ConsensusStatus | None:
        """All that tells why this manager does or does not take part; None before `start` and after `close`."""
        replica = self._replica
        return None if replica is None else status_of(replica, replica.now - self._timing.leader_fallback)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back soon, coalesced, after batches were applied or leadership changed; returns what ends it."""
        token = object()
        self._subscribers[token] = callback

        def unsubscribe() -> None:
            self._subscribers.pop(token, None)

        return unsubscribe

    # Changing ----------------------------------------------------------------------------------------------

    async def propose(
        self, actions: Sequence[Action], *, at: float | None = None, timeout: float = PROPOSE_TIMEOUT
    ) -> None:
        """Commit the actions as one batch, for the time `at`, and return once it is applied here; `timeout` in seconds.

        Raises the `ClusterError` with which `apply` refused it, and `Unavailable` as `interfaces.Store` says. After
        `Unavailable` the batch may still take effect.
        """
        encoded = self._cipher.seal(encode_batch(Batch(self.now() if at is None else at, tuple(actions))))
        if len(encoded) > BATCH_SIZE_MAX:
            raise InvalidArgument(TOO_LARGE)
        replica = self._replica
        if replica is not None and self._leading_term is not None and not replica.can_keep(len(encoded)):
            replica.make_way()
            raise Unavailable(NO_ROOM)
        await self.commit(lambda replica, callback: replica.apply_batch(encoded, callback=callback), timeout)

    async def catch_up(self, *, timeout: float = READ_TIMEOUT) -> None:
        """Return when everything that was acknowledged anywhere before this call is applied here.

        Raises `NoLeader` when there is none, or no majority follows it, or `timeout` seconds are over.
        """
        if self._replica is None:
            raise NoLeader
        await self._reads.read(self._replica, self._request_tick, timeout)

    async def commit(self, submit: Callable[[Replica, Callable[[Any, int], None]], None], timeout: float) -> None:
        """Submit a log entry on the leader and wait until it is applied. For this package.

        Raises `Unavailable`, `ChangeDenied` when PySyncObj refused a change of the managers, or the `ClusterError`
        that applying the entry returned.
        """
        replica = self._replica
        if replica is None or self._leading_term is None:
            raise NoLeader if self.leader_address is None else LostLeadership

        def submit_and_tick(callback: Callable[[Any, int], None]) -> None:
            submit(replica, callback)
            self._request_tick()

        await self._proposals.commit(submit_and_tick, timeout)

    # Life --------------------------------------------------------------------------------------------------

    def node_id(self, address: str) -> str:
        """The name under which the managers know the one at `address`: "address:port"."""
        return f"{address}:{self._port}"

    def ask_for_successor(self) -> None:
        """Ask a follower that has the whole log to stand for election now. For `membership`."""
        if self._replica is not None:
            self._replica.transferLeadership()

    def force_snapshot(self) -> None:
        """Replace the log by a snapshot in the next tick, whatever its length."""
        if self._replica is not None:
            self._replica.forceLogCompaction()

    def start(self) -> None:
        """Listen and take part. To be called on the event loop, once.

        Raises `DamagedData` when the files of an earlier run are not usable, `OSError` when the address cannot be
        listened on or the directory not be written.
        """
        journal, known_peers = self._files.open()
        peers, beginning = self._first_peers, Beginning.JOINING if self._first_peers else Beginning.ALONE
        if known_peers is not None:
            peers, beginning = known_peers, Beginning.RETURNING if known_peers else Beginning.ALONE
        poller = EpollPoller()
        self._replica = self._make_replica(peers, beginning, journal, poller)
        self._poller = poller
        self._keep_members(self._replica)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._poller.fileno(), self._tick)
        self._on_timer()
        logger.info("raft started", extra={"address": self.address, "peers": peers, "beginning": beginning.value})

    def _make_replica(
        self, peers: tuple[str, ...], beginning: Beginning, journal: DurableJournal, poller: EpollPoller
    ) -> Replica:
        transports: list[ManagerTransport] = []

        def is_at(node_id: str, address: str, is_there: bool) -> bool:
            return self.state.has_node_at(node_id, address, is_there=is_there)

        def transport(*arguments: Any) -> ManagerTransport:
            transports.append(
                ManagerTransport(*arguments, poller=poller, timing=self._timing, tls=self._tls, is_at=is_at)
            )
            return transports[-1]

        options = ReplicaOptions(
            node_id=self.node_id(self.address),
            peers=peers,
            beginning=beginning,
            transport=transport,
            timing=self._timing,
            journal=journal,
            dump=self._files.dump,
            cipher=self._cipher,
            clock=self._clock,
            # Who answers for a new list of managers must not wake with the old one.
            before_release=self._keep_members,
        )
        try:
            return Replica(options)
        except SyncObjException as error:
            for unused in transports:
                unused.destroy()
            poller.close()
            journal._destroy()
            raise OSError(f"cannot listen on {options.node_id}") from error

    async def close(self) -> None:
        """Take part no longer; proposals that wait raise `Unavailable`. Idempotent."""
        replica, poller = self._replica, self._poller
        if replica is None or poller is None:
            return
        self._last_state = replica.state
        self._replica = None
        if self._timer is not None:
            self._timer.cancel()
        asyncio.get_running_loop().remove_reader(poller.fileno())
        self._lead(None)
        replica.reads.fail_all()
        replica.close()
        poller.close()
        self._notify()

    def _keep_members(self, replica: Replica) -> None:
        self._files.keep_members(replica.peer_ids, replica.transport.peer_changes)

    # The loop's callbacks ----------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._timing.tick_period, self._on_timer)
        if not self._ticked:
            self._tick()
        self._ticked = False

    def _request_tick(self) -> None:
        if not self._tick_requested:
            self._tick_requested = True
            asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        self._tick_requested = False
        self._ticked = True
        replica, poller = self._replica, self._poller
        if replica is None or poller is None:
            return
        try:
            poller.dispatch()
            replica.doTick(0.0)
            self._failed_ticks = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged, and counted against the store
            self._on_failed_tick(error)
            return
        self._observe(replica)
        if self._proposals and not self._files.members:
            # Nobody's answer will wake us: a sole manager commits in the tick after the one that took the proposal.
            self._request_tick()

    def _on_failed_tick(self, error: Exception) -> None:
        # PySyncObj's own thread logs and goes on, which outlives a shortage of descriptors; but a manager whose
        # journal fails acknowledges what it does not keep, so it must not go on for long.
        logger.exception("raft tick failed", extra={"address": self.address, "in_a_row": self._failed_ticks + 1})
        self._failed_ticks += 1
        if self._failed_ticks >= _FAILED_TICKS_MAX:
            self.failure = error
            self._closing = asyncio.get_running_loop().create_task(self.close())

    def _observe(self, replica: Replica) -> None:
        leading_term = replica.term if replica.leads else None
        if leading_term != self._leading_term:
            self._lead(leading_term)
            if leading_term is not None:
                replica.apply_batch(BARRIER, callback=partial(self._on_caught_up, leading_term))
                self._request_tick()
        self._reads.observe(replica)
        if self._proposals and not replica.can_keep(0):
            self._proposals.fail(Unavailable(NO_ROOM))
        seen = (replica.state.index, self._leading_term, self._leader_since, replica.leader_id, self._files.members)
        if seen != self._seen:
            self._seen = seen
            self._notify()

    def _lead(self, term: int | None) -> None:
        """Note that this manager leads in `term`, or no longer; what was proposed in another term has failed."""
        if self._leading_term is not None or term is not None:
            logger.info("raft leadership", extra={"address": self.address, "leading_term": term})
        self._leading_term = term
        self._leader_since = None
        self._proposals.fail(LostLeadership())

    def _on_caught_up(self, term: int, _result: None, reason: int) -> None:
        if reason == FAIL_REASON.SUCCESS and term == self._leading_term:
            self._leader_since = self.now()

    def _notify(self) -> None:
        if self._notification is None and self._subscribers:
            self._notification = asyncio.get_running_loop().call_soon(self._call_subscribers)

    def _call_subscribers(self) -> None:
        self._notification = None
        for callback in list(self._subscribers.values()):
            callback()
