"""The leader's end of all agents' sessions: assignments out; heartbeats, statuses and logs in.

Only the leader holds sessions. When it stops leading it ends them, and the agents look for the next one. A leader that
was deposed and does not know it is refused by every agent that has heard its successor: each message carries the term.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import WSMsgType, web

from orchestrator.control.gossip_keys import keyring
from orchestrator.control.needed_files import configs_for, secrets_for
from orchestrator.control.network_configuration import configuration_for, tasks_for
from orchestrator.interfaces import SecretVault, Store
from orchestrator.manager import roots
from orchestrator.manager.attachment_broker import AttachmentBroker
from orchestrator.manager.log_broker import LogBroker
from orchestrator.manager.observations import Observations
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.errors import ClusterError, Unavailable
from orchestrator.model.files import FilePayload, Secret
from orchestrator.model.limits import MAX_AGENT_MESSAGE_BYTES, MAX_FILES_BYTES
from orchestrator.model.node import NodeState, NodeTrust
from orchestrator.model.session import (
    REDIRECT_HEADER,
    Assignments,
    Attached,
    Certified,
    Heartbeat,
    Hello,
    LogFrame,
    LogRequest,
    ManagerMessage,
    StatusReport,
)
from orchestrator.model.subnets import is_ipv4
from orchestrator.model.task import TaskStatus
from orchestrator.state.actions import Action, DescribeNode, ReportTaskStatus
from orchestrator.state.codec import decode_message, encode_message

logger = logging.getLogger(__name__)

HELLO_DEADLINE_S = 5.0
OPENING_MAX = 4


@dataclass(slots=True, eq=False)
class _AgentSession:
    node_id: str
    socket: web.WebSocketResponse
    sent: Assignments | None = None
    sent_at: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Dispatcher:
    """Accepts sessions while this manager leads."""

    def __init__(
        self,
        store: Store,
        observations: Observations,
        *,
        vault: SecretVault,
        wake_leader_loop: Callable[[], None],
        manager_addresses: Callable[[], tuple[str, ...]],
        node_id_of: Callable[[web.Request], str],
    ) -> None:
        self._store = store
        self._observations = observations
        self._vault = vault
        self._wake_leader_loop = wake_leader_loop
        self._manager_addresses = manager_addresses
        self._node_id_of = node_id_of
        self._sessions: dict[str, _AgentSession] = {}
        self._opening: dict[str, int] = {}
        """Node id -> connections that have not yet said who they are."""
        self._log_broker = LogBroker(self._send_to)
        self._attachment_broker = AttachmentBroker(self._send_to)
        self._background: set[asyncio.Future[Any]] = set()

    async def run(self) -> None:
        """Keep all agents at the newest state; end their sessions when this manager stops leading."""
        unsubscribe = self._store.subscribe(self._state_changed)
        try:
            await asyncio.Event().wait()
        finally:
            unsubscribe()
            await self._end_sessions()

    async def handle_session(self, request: web.Request) -> web.StreamResponse:
        """GET /session: the agent of the node whose certificate this is."""
        node_id = self._node_id_of(request)
        if not self._store.is_leader:
            leader = self._store.leader_address
            headers = {REDIRECT_HEADER: self._store.state.management_address_at(leader)} if leader else {}
            return web.Response(status=421, text="this manager does not lead", headers=headers)
        node = self._store.state.nodes.get(node_id)
        if node is None or (node.is_leaving and node.state is NodeState.DOWN):
            return web.Response(status=403, text=f"node {node_id} is not a member of this swarm")
        if self._opening.get(node_id, 0) >= OPENING_MAX:
            return web.Response(status=429, text="too many sessions of this node are being opened")
        socket = web.WebSocketResponse(max_msg_size=MAX_AGENT_MESSAGE_BYTES)
        await socket.prepare(request)
        await self._serve(_AgentSession(node_id, socket))
        return socket

    def logs(self, requests: Sequence[tuple[str, LogRequest]]) -> AsyncIterator[LogFrame]:
        """Frames of several (node id, request); see `LogBroker.logs`."""
        return self._log_broker.logs(requests)

    async def attached(self, node_id: str) -> Mapping[str, str]:
        """What was attached by hand to the node's networks; see `AttachmentBroker.ask`."""
        return await self._attachment_broker.ask(node_id)

    async def _serve(self, session: _AgentSession) -> None:
        self._opening[session.node_id] = self._opening.get(session.node_id, 0) + 1
        try:
            hello = await self._receive_hello(session)
        finally:
            self._opening[session.node_id] -= 1
            if not self._opening[session.node_id]:
                del self._opening[session.node_id]
        if hello is None:
            return
        previous = self._sessions.pop(session.node_id, None)
        if previous is not None:
            # In the background: a half-open connection takes its time to close.
            self._in_background(previous.socket.close(message=b"a newer session took over"))
        self._sessions[session.node_id] = session
        logger.info("session opened node=%s", session.node_id)
        pusher = asyncio.create_task(self._keep_pushing(session))
        try:
            await self._admit(session, hello)
            await self._listen(session)
        except (Unavailable, ValueError) as error:
            # Without a majority, or with a peer that talks nonsense, the agent is better off trying again.
            logger.warning("session broken off node=%s error=%s", session.node_id, error)
            await session.socket.close()
        finally:
            pusher.cancel()
            await asyncio.gather(pusher, return_exceptions=True)
            if self._sessions.get(session.node_id) is session:
                del self._sessions[session.node_id]
            self._log_broker.lose_node(session.node_id)
            logger.info("session ended node=%s", session.node_id)

    async def _receive_hello(self, session: _AgentSession) -> Hello | None:
        try:
            received = await session.socket.receive(timeout=HELLO_DEADLINE_S)
            if received.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return None
            hello = decode_message(received.data)
        except (TimeoutError, ValueError) as error:
            logger.warning("no hello from node=%s: %s", session.node_id, error)
            hello = None
        if not isinstance(hello, Hello) or hello.node_id != session.node_id or not is_ipv4(hello.address):
            logger.warning("refused a session that did not begin as node %s", session.node_id)
            await session.socket.close(message=b"the first message must be this node's hello")
            return None
        return hello

    async def _admit(self, session: _AgentSession, hello: Hello) -> None:
        await self._propose((DescribeNode(hello.node_id, hello.description, hello.address),))
        await self._take_statuses(session.node_id, hello.statuses)
        self._hear(session, Heartbeat(hello.revision, hello.flows))
        session.changed.set()

    async def _listen(self, session: _AgentSession) -> None:
        async for received in session.socket:
            if received.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            message = decode_message(received.data)
            if isinstance(message, Heartbeat):
                self._hear(session, message)
            elif isinstance(message, Certified):
                await self._note_trust(session.node_id, message.trust)
            elif isinstance(message, StatusReport):
                await self._take_statuses(session.node_id, message.statuses)
            elif isinstance(message, LogFrame):
                self._log_broker.take(session.node_id, message)
            elif isinstance(message, Attached):
                self._attachment_broker.take(session.node_id, message)

    async def _note_trust(self, node_id: str, trust: NodeTrust) -> None:
        node = self._store.state.nodes.get(node_id)
        if node is not None:
            description = replace(node.description, trust=trust)
            await self._propose((DescribeNode(node_id, description, node.address),))

    def _hear(self, session: _AgentSession, heartbeat: Heartbeat) -> None:
        cluster = self._store.state.cluster
        period = (cluster.spec if cluster else ClusterSpec()).beat
        news = self._observations.heard(session.node_id, heartbeat, self._store.now(), period)
        node = self._store.state.nodes.get(session.node_id)
        if news or node is None or not node.is_ready:
            self._wake_leader_loop()

    async def _take_statuses(self, node_id: str, statuses: Sequence[tuple[str, TaskStatus]]) -> None:
        tasks = self._store.state.tasks
        news: list[Action] = [
            ReportTaskStatus(task_id, status)
            for task_id, status in statuses
            if task_id in tasks and tasks[task_id].node_id == node_id and tasks[task_id].status != status
        ]
        if news and not await self._propose(news) and len(news) > 1:
            # One report that is out of date must not hold back the others.
            for report in news:
                await self._propose((report,))

    async def _propose(self, actions: Sequence[Action]) -> bool:
        try:
            await self._store.propose(actions)
        except Unavailable:
            raise
        except ClusterError as refusal:
            logger.info("a report was overtaken: %s", refusal)
            return False
        return True

    async def _keep_pushing(self, session: _AgentSession) -> None:
        try:
            await self._push(session)
        except Exception:
            # Whatever it is: the agent would wait for assignments without a word of why none come.
            logger.exception("no assignments can be sent node=%s", session.node_id)
            await session.socket.close()

    async def _push(self, session: _AgentSession) -> None:
        """Send assignments when they changed, and once a heartbeat period so that the agent hears us live."""
        while not session.socket.closed:
            cluster = self._store.state.cluster
            period = (cluster.spec if cluster else ClusterSpec()).beat
            try:
                # Not `wait_for`: before Python 3.12 it may swallow a cancellation that comes with the change.
                async with asyncio.timeout(period):
                    await session.changed.wait()
            except TimeoutError:
                session.sent = None
            session.changed.clear()
            assignments = self._assignments_for(session.node_id, period)
            if assignments != session.sent:
                session.sent = assignments
                await self._send(session, assignments)

    def _assignments_for(self, node_id: str, period: float) -> Assignments:
        state = self._store.state
        node = state.nodes.get(node_id)
        return Assignments(
            tasks=tasks_for(state, node_id),
            network=configuration_for(state, node_id),
            heartbeat_period=period,
            managers=self._manager_addresses(),
            certified_role=node.certified_role if node else None,
            role=node.role if node else None,
            trust=_trust(state.cluster),
            secrets=_fitting(self._opened(secrets_for(state, node_id)), node_id),
            configs=_fitting(
                [FilePayload(config.id, config.data, config.templating) for config in configs_for(state, node_id)],
                node_id,
            ),
            keyring=keyring(state),
        )

    def _opened(self, secrets: Sequence[Secret]) -> tuple[FilePayload, ...]:
        opened = []
        for secret in secrets:
            try:
                opened.append(FilePayload(secret.id, self._vault.open(secret.id, secret.sealed), secret.templating))
            except Unavailable as error:
                # Its tasks will be rejected, which the user sees; all others go on.
                logger.error("a secret is withheld: %s", error)
        return tuple(opened)

    def _state_changed(self) -> None:
        if not self._store.is_leader:
            self._in_background(self._end_sessions())
            return
        for session in list(self._sessions.values()):
            if session.node_id not in self._store.state.nodes:
                self._in_background(session.socket.close(message=b"the node was removed"))
            session.changed.set()

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _end_sessions(self) -> None:
        sockets = [session.socket for session in self._sessions.values()]
        await asyncio.gather(*(socket.close(message=b"this manager does not lead any more") for socket in sockets))

    async def _send_to(self, node_id: str, message: ManagerMessage) -> bool:
        session = self._sessions.get(node_id)
        if session is not None:
            await self._send(session, message)
        return session is not None

    async def _send(self, session: _AgentSession, message: ManagerMessage) -> None:
        try:
            term = self._store.leading_term
            if term is None:
                await session.socket.close(message=b"this manager does not lead any more")
                return
            await session.socket.send_bytes(encode_message(replace(message, term=term)))
        except (ConnectionError, RuntimeError) as error:
            logger.info("session broken node=%s error=%s", session.node_id, error)
            await session.socket.close()


def _trust(cluster: Cluster | None) -> NodeTrust | None:
    if cluster is None or not cluster.ca_certificate:
        return None
    return roots.wanted_trust(cluster.ca_certificate, cluster.issuer_certificate)


def _fitting(files: Sequence[FilePayload], node_id: str) -> tuple[FilePayload, ...]:
    """As many of the files as one message takes: tasks without theirs fail, and are tried again."""
    left = MAX_FILES_BYTES
    fitting = []
    for file in files:
        left -= len(file.data)
        if left < 0:
            logger.error("files for node=%s are withheld: they are too large for one message", node_id)
            break
        fitting.append(file)
    return tuple(fitting)
