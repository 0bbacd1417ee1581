"""The head of a request, as far as the front looks at it."""

import pytest

from orchestrator.api.http_head_rules import (
    MalformedHead,
    parse_request_head,
    response_status,
    with_connection_close,
)


def test_method_and_path() -> None:
    head = parse_request_head(b"GET /v1.45/services?filters=%7B%7D HTTP/1.1\r\nHost: docker\r\n\r\n")
    assert (head.method, head.path, head.is_upgrade) == ("GET", "/v1.45/services", False)


def test_an_absolute_target_has_a_path_too() -> None:
    assert parse_request_head(b"GET http://docker/info HTTP/1.1\r\n\r\n").path == "/info"


def test_an_upgrade() -> None:
    raw = b"POST /exec/1/start HTTP/1.1\r\nConnection: Upgrade\r\nUPGRADE: tcp\r\n\r\n"
    assert parse_request_head(raw).is_upgrade


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET nowhere HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedHead):
        parse_request_head(raw)


def test_connection_close_replaces_what_the_client_asked() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: x\r\nconnection: keep-alive\r\nKeep-Alive: 5\r\nX-Odd:  v \r\n\r\n"
    assert with_connection_close(raw) == b"GET / HTTP/1.1\r\nHost: x\r\nX-Odd:  v \r\nConnection: close\r\n\r\n"


def test_status() -> None:
    assert response_status(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n") == 101
    assert response_status(b"HTTP/1.0 204\r\n\r\n") == 204
    with pytest.raises(MalformedHead):
        response_status(b"hello\r\n\r\n")
