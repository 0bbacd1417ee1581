"""The managers' port: accepts connections within limits, and hangs up on strangers that stay.

aiohttp accepts whoever comes and waits for a first request for as long as it takes.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import cast

from orchestrator import clock
from orchestrator.duties import end_duties
from orchestrator.manager.admission_rules import Admission
from orchestrator.manager.authority import peer_identity

logger = logging.getLogger(__name__)

BACKLOG = 128
HANDSHAKE_DEADLINE_S = 5.0
STRANGER_LIFETIME_S = 90.0
"""A node joins within `agent.joining`'s deadlines; it may wait for the node it replaces to be demoted."""
PAUSE_AFTER_FAILURE_S = 0.1


class Listener:
    """Makes a protocol of `factory` for every connection that is let in; `is_node` knows the members' addresses.

    `tls` gives the context of the moment: certificates and roots change.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        tls: Callable[[], ssl.SSLContext],
        *,
        is_node: Callable[[str], bool],
    ) -> None:
        self._factory = factory
        self._tls = tls
        self._is_node = is_node
        self._admission = Admission()
        self._socket: socket.socket | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._handshakes: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port listened on."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    def start(self, address: str, port: int) -> None:
        """Listen. Raises `OSError`."""
        self._socket = socket.create_server((address, port), backlog=BACKLOG)
        self._socket.setblocking(False)
        self._resume()

    async def close(self) -> None:
        """Listen no longer; connections that stand are the protocols' business."""
        if self._socket is None:
            return
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        await end_duties(*self._handshakes)
        self._socket.close()

    def _resume(self) -> None:
        assert self._socket is not None
        self._pause = None
        # Not `sock_accept`: cancelled, it may drop a connection that it has accepted.
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        assert self._socket is not None
        try:
            raw, (address, _) = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            logger.warning("a connection was not accepted: %s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            self._pause = loop.call_later(PAUSE_AFTER_FAILURE_S, self._resume)
            return
        if not self._admission.arrive(address, clock.monotonic(), is_node=self._is_node(address)):
            raw.close()
            return
        raw.setblocking(False)
        counted = _Counted(self._factory(), self._admission, address)
        handshake = asyncio.create_task(self._welcome(raw, counted))
        self._handshakes.add(handshake)

        def end(ended: asyncio.Task[None]) -> None:
            # Here, since a task that is cancelled before its first step runs none of its own code.
            self._handshakes.discard(ended)
            if not counted.has_begun:
                self._admission.leave(address, is_member=False)
                raw.close()

        handshake.add_done_callback(end)

    async def _welcome(self, raw: socket.socket, counted: "_Counted") -> None:
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: counted, raw, ssl=self._tls(), ssl_handshake_timeout=HANDSHAKE_DEADLINE_S
            )
        except (OSError, TimeoutError) as error:
            logger.debug("no handshake with %s: %s", counted.address, error)
            return
        if peer_identity(transport.get_extra_info("ssl_object")) is not None:
            counted.recognise()
        else:
            asyncio.get_running_loop().call_later(STRANGER_LIFETIME_S, transport.abort)


class _Counted(asyncio.Protocol):
    """A protocol whose end is noted."""

    def __init__(self, inner: asyncio.Protocol, admission: Admission, address: str) -> None:
        self._inner = inner
        self._admission = admission
        self.address = address
        self._is_member = False
        self._has_ended = False
        self.has_begun = False

    def recognise(self) -> None:
        """It is a member's."""
        if not self._has_ended:
            self._is_member = True
            self._admission.recognise(self.address)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.has_begun = True
        # uvloop's transports are not subclasses of asyncio's.
        self._inner.connection_made(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended = True
        self._admission.leave(self.address, is_member=self._is_member)
        self._inner.connection_lost(exc)
