"""The agent's one session with the leader: a WebSocket over mutual TLS, renewed for as long as the node is a member.

Any manager may be asked; one that does not lead names the one that does. Everything is sent whole or re-sent on
connecting (`Hello` carries all statuses), so a lost session loses nothing.
"""

import asyncio
import contextlib
import dataclasses
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

import aiohttp

from orchestrator.duties import end_duties, first_ended
from orchestrator.model.limits import MAX_MANAGER_MESSAGE_BYTES
from orchestrator.model.node import NodeTrust
from orchestrator.model.session import (
    LOG_WINDOW_FRAMES,
    REDIRECT_HEADER,
    AgentMessage,
    Assignments,
    Attached,
    AttachedRequest,
    Certified,
    Heartbeat,
    Hello,
    LogCancel,
    LogCredit,
    LogFrame,
    LogRequest,
    ManagerMessage,
    StatusReport,
)
from orchestrator.model.task import TaskStatus
from orchestrator.state.codec import decode_message, encode_message

logger = logging.getLogger(__name__)

CONNECT_DEADLINE_S = 5.0
FIRST_BACKOFF_S = 0.05
LONGEST_BACKOFF_S = 1.0
"""Short, because a new leader is useless until the agents are back; swarmkit waits up to 8 s."""
PING_PERIOD_S = 4.0
"""How often the connection itself is tried; half as long may its answer take. So a leader that stands still is left
within 6 s, and not only after three heartbeat periods; of one that dies the failure detector tells sooner (`avoid`)."""
HEARTBEAT_PERIOD_S = 5.0
"""Until the first assignments name the cluster's own period."""
OUTBOX_SIZE = 10_000
LOG_STREAMS_MAX = 100


class AgentParts(Protocol):
    """What the session needs of the node."""

    async def hello(self) -> Hello:
        """The node as it is now."""
        ...

    def progress(self) -> Heartbeat:
        """How far the data plane is."""
        ...

    def obeys(self, term: int) -> bool:
        """Whether the manager that leads by this election is not known to be deposed."""
        ...

    async def assigned(self, assignments: Assignments) -> None:
        """Obey."""
        ...

    def logs(self, request: LogRequest) -> AsyncIterator[LogFrame]:
        """Frames of a task's log."""
        ...

    async def attached(self) -> Mapping[str, str]:
        """Network id -> name of a container there that is no task. Raises `OSError`."""
        ...


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """One manager that is asked for a session, or holds one, until the limit."""

    address: str
    limit: asyncio.Timeout

    def give_up(self) -> None:
        """Only another attempt helps."""
        if not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time())


class Session:
    """Keeps a session open; `report` and `progressed` may be called at any time."""

    def __init__(
        self, parts: AgentParts, managers: Callable[[], Sequence[str]], tls: Callable[[], ssl.SSLContext]
    ) -> None:
        self._parts = parts
        self._managers = managers
        self._tls = tls
        self._outbox: asyncio.Queue[AgentMessage] | None = None
        self._attempt: _Attempt | None = None
        self._avoided: frozenset[str] = frozenset()
        self._period = HEARTBEAT_PERIOD_S
        self._period_changed = asyncio.Event()
        self._logs: dict[int, asyncio.Task[None]] = {}
        self._credits: dict[int, asyncio.Semaphore] = {}
        self._looking: asyncio.Task[None] | None = None
        self._leader: str | None = None
        self._left: str | None = None
        self.connected_to: str | None = None
        """Address of the manager this session is with; None while there is none."""

    def report(self, task_id: str, status: TaskStatus) -> None:
        """Send a task's status; without a session the next `Hello` will carry it."""
        self._send(StatusReport(((task_id, status),)))

    def progressed(self) -> None:
        """Send how far the data plane is, now."""
        self._send(self._parts.progress())

    def certified(self, trust: NodeTrust) -> None:
        """Send whom the node trusts and who vouches for it; without a session the next `Hello` will say so."""
        self._send(Certified(trust))

    def avoid(self, hosts: frozenset[str]) -> None:
        """Leave a manager on one of these hosts, and ask it again only if one elsewhere names it the leader.

        For nodes that are held dead, replacing those of the last call. The verdict may be wrong: a session that begins
        in spite of it stays.
        """
        newly = hosts - self._avoided
        self._avoided = hosts
        if self._attempt is not None and _host(self._attempt.address) in newly:
            logger.info("leaving the manager at %s: its node is held dead", self._attempt.address)
            self._attempt.give_up()

    async def run(self) -> None:
        """Hold sessions, one after another, until cancelled."""
        backoff = FIRST_BACKOFF_S
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while True:
                tried: dict[str, None] = {}
                while (address := self._candidate(tried)) is not None:
                    tried[address] = None
                    if await self._try(http, address):
                        backoff = FIRST_BACKOFF_S
                        break
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, LONGEST_BACKOFF_S)

    def _candidate(self, tried: Mapping[str, None]) -> str | None:
        """Whom to ask next: the leader if one was named, and last the manager with which the session has just ended."""
        leader, self._leader = self._leader, None
        if leader is not None and leader not in tried:
            return leader
        managers = self._managers()
        # A dead machine answers nothing at all, and the others would wait their turn until the deadline.
        living = [address for address in managers if _host(address) not in self._avoided] or managers
        untried = [address for address in living if address not in tried]
        return min(untried, key=lambda address: address == self._left, default=None)

    async def _try(self, http: aiohttp.ClientSession, address: str) -> bool:
        """Hold a session with this manager; returns whether there was one."""
        was_held = False
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S) as limit:
                self._attempt = _Attempt(address, limit)
                async with await self._connect(http, address) as socket:
                    limit.reschedule(None)
                    was_held = True
                    self._left = address
                    await self._hold(socket, address)
        except aiohttp.WSServerHandshakeError as refusal:
            self._leader = refusal.headers.get(REDIRECT_HEADER) if refusal.headers else None
            logger.debug("manager %s refused the session: %s", address, refusal.message)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            logger.debug("no session with %s: %s", address, error)
        except ValueError as error:
            logger.error("the manager at %s sent what this version does not understand: %s", address, error)
        finally:
            self._attempt = None
        return was_held

    async def _connect(self, http: aiohttp.ClientSession, address: str) -> aiohttp.ClientWebSocketResponse:
        return await http.ws_connect(
            f"https://{address}/session",
            ssl=self._tls(),
            heartbeat=PING_PERIOD_S,
            max_msg_size=MAX_MANAGER_MESSAGE_BYTES,
        )

    async def _hold(self, socket: aiohttp.ClientWebSocketResponse, address: str) -> None:
        self._outbox = asyncio.Queue(OUTBOX_SIZE)
        self.connected_to = address
        await socket.send_bytes(encode_message(await self._parts.hello()))
        try:
            for duty in await first_ended(self._post(socket), self._beat(), self._listen(socket)):
                if duty:
                    duty.result()
        finally:
            self._outbox = None
            self.connected_to = None
            await end_duties(*self._logs.values(), *([self._looking] if self._looking else []))
            self._looking = None
            self._logs.clear()

    async def _post(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        outbox = self._outbox
        assert outbox is not None
        while True:
            await socket.send_bytes(encode_message(await outbox.get()))

    async def _beat(self) -> None:
        while True:
            self._period_changed.clear()
            self.progressed()
            # Not `wait_for`: before Python 3.12 it may swallow a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._period):
                    await self._period_changed.wait()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Ends when the manager says nothing for three periods, its own word coming once a period, or is deposed."""
        while True:
            received = await socket.receive(timeout=3 * self._period)
            if received.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                return
            message = decode_message(received.data)
            if isinstance(message, ManagerMessage) and not self._parts.obeys(message.term):
                return
            if isinstance(message, Assignments):
                if message.heartbeat_period != self._period:
                    # Heard at once, the managers know from when on the new period counts.
                    self._period = message.heartbeat_period
                    self._period_changed.set()
                await self._parts.assigned(message)
            elif isinstance(message, LogRequest):
                self._open_log(message)
            elif isinstance(message, LogCredit) and message.number in self._credits:
                for _ in range(message.frames):
                    self._credits[message.number].release()
            elif isinstance(message, LogCancel) and message.number in self._logs:
                self._logs[message.number].cancel()
            elif isinstance(message, AttachedRequest):
                self._looking = asyncio.create_task(self._look(message, self._looking))

    async def _look(self, request: AttachedRequest, before: asyncio.Task[None] | None) -> None:
        """Answer, one after the other."""
        if before is not None:
            await before
        try:
            found = await self._parts.attached()
        except OSError as error:
            # No answer: the manager, too, is not to guess.
            logger.warning("which containers are on the networks cannot be told: %s", error)
        else:
            self._send(Attached(request.number, tuple(sorted(found.items()))))

    def _open_log(self, request: LogRequest) -> None:
        if len(self._logs) >= LOG_STREAMS_MAX:
            self._send(LogFrame(request.number, end=True))
            return
        credit = self._credits[request.number] = asyncio.Semaphore(LOG_WINDOW_FRAMES)
        stream = asyncio.create_task(self._stream_log(request, credit))
        self._logs[request.number] = stream
        stream.add_done_callback(lambda _: self._forget_log(request.number))

    def _forget_log(self, number: int) -> None:
        self._logs.pop(number, None)
        self._credits.pop(number, None)

    async def _stream_log(self, request: LogRequest, credit: asyncio.Semaphore) -> None:
        async for frame in self._parts.logs(request):
            if not frame.end:
                await credit.acquire()
            outbox = self._outbox
            if outbox is None:
                return
            # Waiting here is the log's back-pressure: it may not crowd out status reports.
            await outbox.put(frame)

    def _send(self, message: AgentMessage) -> None:
        if self._outbox is None:
            return
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            logger.error("the session's outbox is full, the manager does not read: trying another session")
            if self._attempt is not None:
                self._attempt.give_up()


def _host(address: str) -> str:
    return address.rpartition(":")[0]
