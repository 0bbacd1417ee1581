"""The head of one HTTP/1 message, just enough of it to route the connection it came on.

Pure. It keeps every byte it does not have to change, for the bodies and the other headers are the engine's business.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

END_OF_HEAD = b"\r\n\r\n"
MAX_HEAD_BYTES = 64 * 1024

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.[01]")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: .*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)")


class MalformedHead(ValueError):
    """Not the head of an HTTP/1 message."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Where a request wants to go. `raw` is the head as it came, its closing empty line included."""

    method: str
    path: str
    """Without query, scheme and authority."""
    is_upgrade: bool
    """The client asks to speak another protocol on this connection (exec, attach, buildkit sessions)."""
    raw: bytes


def parse_request_head(raw: bytes) -> RequestHead:
    """The head of a request, from its first byte to its empty line. Raises `MalformedHead`."""
    first_line, headers = _split(raw)
    match = _REQUEST_LINE.fullmatch(first_line)
    if match is None:
        raise MalformedHead("malformed HTTP request")
    names = [_header_name(line) for line in headers]
    try:
        path = urlsplit(match[2].decode("ascii")).path
    except ValueError as error:
        raise MalformedHead("malformed request target") from error
    if not path.startswith(("/", "*")):
        raise MalformedHead("malformed request target")
    return RequestHead(method=match[1].decode(), path=path, is_upgrade=b"upgrade" in names, raw=raw)


def response_status(raw: bytes) -> int:
    """The status code of a response's head. Raises `MalformedHead`."""
    match = _STATUS_LINE.fullmatch(raw.partition(b"\r\n")[0])
    if match is None:
        raise MalformedHead("malformed HTTP response")
    return int(match[1])


def with_connection_close(raw: bytes) -> bytes:
    """The same head, asking that this be the connection's only message. Raises `MalformedHead`."""
    first_line, headers = _split(raw)
    kept = [line for line in headers if _header_name(line) not in (b"connection", b"keep-alive", b"proxy-connection")]
    return b"\r\n".join([first_line, *kept, b"Connection: close"]) + END_OF_HEAD


def _split(raw: bytes) -> tuple[bytes, list[bytes]]:
    first_line, *headers = raw.removesuffix(END_OF_HEAD).split(b"\r\n")
    return first_line, headers


def _header_name(line: bytes) -> bytes:
    match = _HEADER.fullmatch(line)
    if match is None:
        raise MalformedHead("malformed HTTP header")
    return match[1].lower()
