"""No connection is left open when the managers' port closes, whatever has become of it by then."""

import asyncio
import contextlib
import gc
import socket
import warnings

import pytest

from orchestrator import clock
from orchestrator.manager import authority
from orchestrator.manager.listener import Listener
from orchestrator.model.cluster import ClusterSpec
from orchestrator.model.node import NodeRole

STEPS = range(8)
"""Rounds of the event loop between the connection and the close: from not yet accepted to within its handshake."""


@pytest.mark.parametrize("steps", STEPS)
def test_a_connection_that_comes_as_the_port_closes_is_closed(steps: int) -> None:
    cluster = authority.found("c", ClusterSpec(), clock.now())
    context = authority.server_context(authority.issue(cluster, "node-1", NodeRole.MANAGER, clock.now()))

    async def scenario() -> None:
        listener = Listener(asyncio.Protocol, lambda: context, is_node=lambda _: True)
        listener.start("127.0.0.1", 0)
        client = socket.create_connection(("127.0.0.1", listener.port))
        client.settimeout(5.0)
        for _ in range(steps):
            await asyncio.sleep(0)
        await listener.close()
        with client, contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""

    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(scenario())
        gc.collect()
    assert [str(each.message) for each in unclosed if each.category is ResourceWarning] == []
