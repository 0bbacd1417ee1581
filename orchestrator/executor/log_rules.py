"""Docker's multiplexed log stream, taken apart: sans-I/O, so that it is tested byte by byte.

Format: header of 8 bytes (stream number, three zero bytes, big-endian length), then that many bytes (Docker Engine API,
ContainerAttach, "Stream format").
"""

from collections.abc import Iterator

_HEADER_BYTES = 8
STDOUT = 1
MAX_FRAME_BYTES = 64 * 1024
"""A frame that claims to be longer is handed on in pieces of at most this size, so the buffer stays bounded."""


class Demultiplexer:
    """Feed it bytes as they arrive; it gives back (stream number, payload) as soon as each payload is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream = 0
        self._missing = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the payloads that `data` completes."""
        self._buffer += data
        while True:
            if not self._missing and not self._read_header():
                return
            size = min(self._missing, MAX_FRAME_BYTES)
            if len(self._buffer) < size:
                return
            payload = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._missing -= size
            if payload:
                yield self._stream, payload

    def _read_header(self) -> bool:
        if len(self._buffer) < _HEADER_BYTES:
            return False
        self._stream = self._buffer[0]
        self._missing = int.from_bytes(self._buffer[4:_HEADER_BYTES], "big")
        del self._buffer[:_HEADER_BYTES]
        return True
