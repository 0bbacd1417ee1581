"""PySyncObj's TCP transport with its five gaps closed.

1. Followers have nothing to tell each other, and PySyncObj closes an idle connection on the first message after
   `connectionTimeout`: that message is the request for a vote, so a failover costs a second election. A keepalive
   both ways keeps the connection young. PySyncObj ignores messages of a type it does not know.
2. A connection attempt or handshake with a silent peer is never given up, and the kernel's retries come minutes apart
   by then: it is abandoned after `connection_timeout` and begun afresh.
3. A request for a vote may be sent into an unfinished handshake, which spoils it: `send` waits for its end.
4. What the kernel did not take at once lies until the next message: the rest is sent when the socket can take it.
5. Strangers that connect may take memory, time and the port itself: see `raft/listener.py`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pysyncobj.monotonic import monotonic
from pysyncobj.tcp_connection import CONNECTION_STATE, TcpConnection
from pysyncobj.transport import TCPTransport, Transport

from orchestrator.raft.listener import BoundedServer
from orchestrator.raft.poller import EpollPoller
from orchestrator.raft.stable_node import StableNode
from orchestrator.raft.timing import RaftTiming

__all__ = ["ManagerTransport", "Transport"]

_KEEPALIVE: Mapping[str, str] = {"type": "keepalive"}


class ManagerTransport(TCPTransport):  # type: ignore[misc]  # the library has no types
    """Messages between managers, pickled and encrypted by PySyncObj with the cluster's Raft key."""

    def __init__(
        self,
        replica: Any,
        self_node: StableNode,
        other_nodes: Iterable[StableNode],
        *,
        poller: EpollPoller,
        timing: RaftTiming,
    ) -> None:
        # The one seam PySyncObj leaves for a poller of one's own: server and connections take it from here.
        replica._poller = poller
        self._poller = poller
        self._timing = timing
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
        """Begin to talk with a peer. Called by PySyncObj."""
        super().addNode(node)
        self.peer_changes += 1

    def dropNode(self, node: StableNode) -> None:
        """Talk with a peer no longer. Called by PySyncObj."""
        super().dropNode(node)
        self.peer_changes += 1

    def _onDisconnected(self, connection: TcpConnection) -> None:
        self._server.forget(connection)
        super()._onDisconnected(connection)

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
