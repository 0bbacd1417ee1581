"""A socket that cannot connect is closed: any other would be reported as a leak by the test that runs then."""

from __future__ import annotations

import gc
import socket
import warnings
from pathlib import Path

import pytest
import requests

from pytest_swarm.unix_transport import ClosingAdapter


def test_a_socket_that_nobody_listens_to_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    with requests.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("error")
        session.mount("http+docker://", ClosingAdapter(f"http+unix://{path}"))
        with pytest.raises(requests.ConnectionError, match="Connection refused"):
            session.get("http+docker://localhost/_ping")
        gc.collect()
