"""PySyncObj's TCP transport over mutual TLS, with its five gaps closed.

1. Followers have nothing to tell each other, and PySyncObj closes an idle connection on the first message after
   `connectionTimeout`: that message is the request for a vote, so a failover costs a second election. A keepalive
   both ways keeps the connection young. PySyncObj ignores messages of a type it does not know.
2. A connection attempt or handshake with a silent peer is never given up, and the kernel's retries come minutes apart
   by then: it is abandoned after `connection_timeout` and begun afresh.
3. A request for a vote may be sent into an unfinished handshake, which spoils it: `send` waits for its end.
4. What the kernel did not take at once lies until the next message: the rest is sent when the socket can take it.
5. Strangers that connect may take memory, time and the port itself: see `raft/listener.py`.

PySyncObj's own encryption knows one password, which whoever was a manager once keeps. Here each end shows a manager's
certificate, and the node it names must be where the replicated state says that it is: who was removed is nobody, and
no manager passes for another. Nothing is unpickled before.
"""

import logging
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pysyncobj.monotonic import monotonic
from pysyncobj.tcp_connection import CONNECTION_STATE, TcpConnection
from pysyncobj.transport import TCPTransport, Transport

from orchestrator.raft.listener import HANDSHAKE_BYTES_MAX, BoundedServer
from orchestrator.raft.poller import EpollPoller
from orchestrator.raft.stable_node import StableNode
from orchestrator.raft.timing import RaftTiming
from orchestrator.raft.tls_socket import PeerTls, TlsSocket, secure

logger = logging.getLogger(__name__)

__all__ = ["ManagerTransport", "Transport"]

_KEEPALIVE: Mapping[str, str] = {"type": "keepalive"}


class ManagerTransport(TCPTransport):  # type: ignore[misc]  # the library has no types
    """Messages between managers, pickled by PySyncObj."""

    def __init__(
        self,
        replica: Any,
        self_node: StableNode,
        other_nodes: Iterable[StableNode],
        *,
        poller: EpollPoller,
        timing: RaftTiming,
        tls: PeerTls,
        is_at: Callable[[str, str, bool], bool],
    ) -> None:
        """`is_at` tells whether the node of that id has that IPv4 address, as far as this manager knows.

        Its third argument says whether the connection itself leads to that address.
        """
        # The one seam PySyncObj leaves for a poller of one's own: server and connections take it from here.
        replica._poller = poller
        self._poller = poller
        self._timing = timing
        self._tls = tls
        self._is_at = is_at
        self._outgoing: dict[TcpConnection, TlsSocket] = {}
        self._failures: dict[StableNode, str] = {}
        self.peer_changes = 0
        """Raised whenever the set of peers may have changed."""
        self._keepalive_due = 0.0
        super().__init__(replica, self_node, other_nodes)

    def _createServer(self) -> None:
        conf = self._syncObj.conf
        _, port = self._selfNode.address.rsplit(":", 1)
        host = conf.bindAddress.rsplit(":", 1)[0] if conf.bindAddress else "0.0.0.0"
        self._server: BoundedServer = BoundedServer(
            self._poller,
            host,
            int(port),
            self._onNewIncomingConnection,
            buffer_sizes=(conf.sendBufferSize, conf.recvBufferSize),
            timeout=conf.connectionTimeout,
            secure=self._secure_incoming,
        )

    def send(self, node: StableNode, message: Any) -> bool:
        """Send to a peer whose handshake is done; returns whether the connection still stands."""
        if not self._syncObj.isNodeConnected(node) or not super().send(node, message):
            return False
        connection = self._connections[node]
        if connection.getSendBufferSize() > 0:
            self._poller.await_writable(connection.fileno())
        return True

    def addNode(self, node: StableNode) -> None:
        """Begin to talk with a peer, unless it is one already. Called by PySyncObj, and for acquaintances."""
        if node not in self._nodes:
            super().addNode(node)
        self.peer_changes += 1

    def dropNode(self, node: StableNode) -> None:
        """Talk with a peer no longer. Called by PySyncObj."""
        super().dropNode(node)
        self.peer_changes += 1

    # Who is at the other end -----------------------------------------------------------------------------------

    def _secure_incoming(self, raw: socket.socket) -> TlsSocket:
        context = self._tls.accepting()
        return secure(raw, context, self._manager_at, server_side=True, untrusted_max=HANDSHAKE_BYTES_MAX)

    def _onIncomingMessageReceived(self, connection: TcpConnection, message: Any) -> None:
        """Called by PySyncObj with what a peer says first: its name. Nobody may read along, or ask for anything."""
        node_id = self._server.peer_of(connection)
        if isinstance(message, str) and message in self._nodeAddrToNode:
            address = message.rpartition(":")[0]
            if self._is_at(node_id, address, self._server.address_of(connection) == address):
                super()._onIncomingMessageReceived(connection, message)
                return
        connection.disconnect()

    def _onOutgoingConnected(self, connection: TcpConnection) -> None:
        """Called by PySyncObj when TCP has connected."""
        node = self._connToNode(connection)

        def admit(tls: ssl.SSLSocket) -> str:
            node_id = self._manager_at(tls)
            if not self._is_at(node_id, node.id.rpartition(":")[0], True):
                raise ConnectionRefusedError(f"node {node_id} is not at {node.id}")
            self._onNodeConnected(node)
            return node_id

        raw = connection._TcpConnection__socket
        try:
            tls = secure(raw, self._tls.connecting(), admit, server_side=False)
        except OSError:
            connection.disconnect()
            return
        connection._TcpConnection__socket = self._outgoing[connection] = tls
        self._sendSelfAddress(connection)

    def _manager_at(self, tls: ssl.SSLSocket) -> str:
        node_id = self._tls.manager_of(tls)
        if node_id is None:
            raise ConnectionRefusedError("only managers may speak here")
        return node_id

    def _onDisconnected(self, connection: TcpConnection) -> None:
        self._server.forget(connection)
        tls = self._outgoing.pop(connection, None)
        node = self._connToNode(connection)
        if tls is not None and node is not None:
            self._tell_failure(node, tls.failure)
        super()._onDisconnected(connection)

    def _tell_failure(self, node: StableNode, failure: str) -> None:
        """Once: it is tried again many times a second."""
        if failure and self._failures.get(node) != failure:
            logger.warning("no connection with the manager at %s: %s", node.id, failure)
        self._failures[node] = failure

    def _onNodeConnected(self, node: StableNode) -> None:
        self._server.trust(self._connections[node])
        super()._onNodeConnected(node)
        self._syncObj.send_soon()

    def _onTick(self) -> None:
        super()._onTick()
        now = monotonic()
        self._abandon_stuck_connections(now)
        self._server.expire(now)
        if now >= self._keepalive_due:
            self._keepalive_due = now + self._timing.keepalive_period
            self._keep_alive()

    def _keep_alive(self) -> None:
        leader = self._syncObj._getLeader()
        if leader == self._selfNode:
            return
        for node in sorted(self._nodes, key=str):
            # Heartbeats and their answers keep the connections with the leader.
            if node != leader:
                self.send(node, _KEEPALIVE)

    def _abandon_stuck_connections(self, now: float) -> None:
        for node, attempted_at in list(self._lastConnectAttempt.items()):
            connection = self._connections.get(node)
            if connection is None or connection.state == CONNECTION_STATE.DISCONNECTED:
                continue
            if not self._syncObj.isNodeConnected(node) and now - attempted_at > self._timing.connection_timeout:
                connection.disconnect()
