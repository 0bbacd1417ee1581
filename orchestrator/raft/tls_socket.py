"""TLS under PySyncObj's connections, which know only a socket that is read, written and never waited for."""

import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

UNSENT_MAX = 4096
"""Bytes that may wait for the end of the handshake: a manager has only its name to tell until then."""
_RECORD = 16384
"""Bytes of a TLS record at most: `ssl` hands over no more at once."""
_WAITS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True, slots=True)
class PeerTls:
    """How managers prove to each other who they are."""

    accepting: Callable[[], ssl.SSLContext]
    """Asked for every connection: certificates and roots are exchanged while the store runs."""
    connecting: Callable[[], ssl.SSLContext]
    manager_of: Callable[[Any], str | None]
    """Called with an `ssl.SSLSocket` after its handshake: the node id in a manager's certificate; else None."""


class TlsSocket:
    """What a connection uses of its socket.

    The handshake goes on with every read, and what is to be sent before its end waits here: PySyncObj would watch the
    socket for room to write all the while, of which there is plenty.
    """

    def __init__(
        self, tls: ssl.SSLSocket, admit: Callable[[ssl.SSLSocket], str], *, untrusted_max: int | None = None
    ) -> None:
        """`admit` is called once the handshake is over: it returns who the peer is, or raises `OSError`.

        A peer that says more than `untrusted_max` bytes before `trust` is called seems to have gone.
        """
        self._tls = tls
        self._admit = admit
        self._allowance = untrusted_max
        self._is_secure = False
        self._unsent = b""
        self.peer = ""
        """What `admit` returned."""
        self.failure = ""
        """Why the handshake failed."""

    def trust(self) -> None:
        """Let the peer say as much as it likes."""
        self._allowance = None

    def recv(self, size: int) -> bytes:
        """As of a socket; raises `OSError` as one."""
        if not self._is_secure:
            self._shake_hands()
        if self._allowance is None:
            return self._read(size)
        data = self._read(min(size, self._allowance + 1))
        self._allowance -= len(data)
        return data if self._allowance >= 0 else b""

    def send(self, data: bytes) -> int:
        """As of a socket; raises `OSError` as one."""
        if not self._is_secure:
            if len(self._unsent) + len(data) > UNSENT_MAX:
                raise OSError(errno.ENOBUFS, "too much to send before the handshake is over")
            self._unsent += data
            with suppress(BlockingIOError):
                self._shake_hands()
            return len(data)
        return self._write(data)

    def fileno(self) -> int:
        """As of a socket."""
        return self._tls.fileno()

    def getsockopt(self, level: int, option: int) -> int:
        """As of a socket."""
        return self._tls.getsockopt(level, option)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """As of a socket."""
        self._tls.setsockopt(level, option, value)

    def close(self) -> None:
        """As of a socket."""
        self._tls.close()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except _WAITS:
            raise _later() from None
        except ssl.SSLError as error:
            self.failure = error.reason or str(error)
            raise
        self.peer = self._admit(self._tls)
        self._is_secure = True
        unsent, self._unsent = self._unsent, b""
        if self._write(unsent) < len(unsent):
            raise OSError(errno.ENOBUFS, "no room in a fresh connection")

    def _read(self, size: int) -> bytes:
        pieces: list[bytes] = []
        missing = size
        while missing > 0:
            try:
                piece = self._tls.recv(min(missing, _RECORD))
            except _WAITS:
                if not pieces:
                    raise _later() from None
                break
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _write(self, data: bytes) -> int:
        """As much as there is room for. OpenSSL asks that the next call begins with the record that did not fit."""
        view = memoryview(data)
        sent = 0
        while sent < len(view):
            try:
                sent += self._tls.send(view[sent : sent + _RECORD])
            except _WAITS:
                if not sent:
                    raise _later() from None
                break
        return sent


def secure(
    raw: socket.socket,
    context: ssl.SSLContext,
    admit: Callable[[ssl.SSLSocket], str],
    *,
    server_side: bool,
    untrusted_max: int | None = None,
) -> TlsSocket:
    """TLS over a connected socket that does not block, which it takes over; the rest is `TlsSocket`'s.

    Raises `OSError` when the peer has gone.
    """
    tls = context.wrap_socket(raw, server_side=server_side, do_handshake_on_connect=False)
    return TlsSocket(tls, admit, untrusted_max=untrusted_max)


def _later() -> BlockingIOError:
    return BlockingIOError(errno.EWOULDBLOCK, "the connection has nothing yet, or no room")
