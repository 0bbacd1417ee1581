"""The Raft port's listener, for strangers can reach it too.

PySyncObj's own reads from a connection for as long as bytes come, keeps what may be the beginning of a message of two
gigabytes, lets silent connections stay for ever, and stops listening for good when it cannot accept one. Here a peer
that has not yet proved who it is gets little room and little time, and few such peers are let in at once.
"""

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from pysyncobj.monotonic import monotonic
from pysyncobj.poller import POLL_EVENT_TYPE
from pysyncobj.tcp_connection import TcpConnection

from orchestrator.raft.poller import EpollPoller
from orchestrator.raft.tls_socket import TlsSocket

logger = logging.getLogger(__name__)

HANDSHAKE_BYTES_MAX = 4096
"""What a peer may say before it is trusted: its address. OpenSSL bounds what it may say before TLS stands."""
PENDING_MAX = 64
PENDING_PER_ADDRESS_MAX = 8
"""A manager needs one, and another when it comes back before the old one was missed."""
BACKLOG = 64
ACCEPTED_AT_ONCE_MAX = 16


@dataclass(frozen=True, slots=True)
class _Pending:
    address: str
    since: float
    tls: TlsSocket


class BoundedServer:
    """In place of PySyncObj's `TcpServer`: `bind` and `unbind` are what its transport calls."""

    def __init__(
        self,
        poller: EpollPoller,
        host: str,
        port: int,
        on_connection: Callable[[TcpConnection], None],
        *,
        buffer_sizes: tuple[int, int],
        timeout: float,
        secure: Callable[[socket.socket], TlsSocket],
    ) -> None:
        """`secure` puts TLS over what was accepted; what it returns lets a stranger say a name and no more."""
        self._secure = secure
        self._poller = poller
        self._endpoint = (host, port)
        self._on_connection = on_connection
        self._send_buffer, self._receive_buffer = buffer_sizes
        self._timeout = timeout
        self._listener: socket.socket | None = None
        self._pending: dict[TcpConnection, _Pending] = {}

    def bind(self) -> None:
        """Listen. Raises `OSError`."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited by what is accepted, and only so in time for the window that TCP offers.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            listener.setblocking(False)
            listener.bind(self._endpoint)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._poller.subscribe(listener.fileno(), self._accept, POLL_EVENT_TYPE.READ | POLL_EVENT_TYPE.ERROR)

    def unbind(self) -> None:
        """Listen no longer."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._poller.unsubscribe(listener.fileno())
            listener.close()

    def peer_of(self, connection: TcpConnection) -> str:
        """The node id that a connection which is not yet trusted has proved to be of; "" before its handshake."""
        pending = self._pending.get(connection)
        return "" if pending is None else pending.tls.peer

    def address_of(self, connection: TcpConnection) -> str:
        """The IPv4 address a connection which is not yet trusted comes from; "" when it is none of those."""
        pending = self._pending.get(connection)
        return "" if pending is None else pending.address

    def trust(self, connection: TcpConnection) -> None:
        """The peer is who it says."""
        pending = self._pending.pop(connection, None)
        if pending is not None:
            pending.tls.trust()

    def forget(self, connection: TcpConnection) -> None:
        """The connection has ended."""
        self._pending.pop(connection, None)

    def expire(self, now: float) -> None:
        """Hang up on those that did not prove themselves in time; `now` by the monotonic clock."""
        for connection, pending in list(self._pending.items()):
            if now - pending.since > self._timeout:
                connection.disconnect()

    def _accept(self, descriptor: int, event: int) -> None:
        del descriptor, event
        for _ in range(ACCEPTED_AT_ONCE_MAX):
            if self._listener is None:
                return
            try:
                raw, (address, _) = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # The next one may be taken again: nothing that one stranger does may close the port for all.
                logger.warning("a connection to the raft port was not accepted: %s", error)
                return
            self._take(raw, address)

    def _take(self, raw: socket.socket, address: str) -> None:
        if sum(pending.address == address for pending in self._pending.values()) >= PENDING_PER_ADDRESS_MAX:
            raw.close()
            return
        if len(self._pending) >= PENDING_MAX:
            next(iter(self._pending)).disconnect()
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            tls = self._secure(raw)
        except OSError:  # it has gone already
            raw.close()
            return
        connection = TcpConnection(
            poller=self._poller,
            socket=tls,
            timeout=self._timeout,
            sendBufferSize=self._send_buffer,
            recvBufferSize=self._receive_buffer,
        )
        self._pending[connection] = _Pending(address, monotonic(), tls)
        self._on_connection(connection)
