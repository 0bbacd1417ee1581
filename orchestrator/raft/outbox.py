"""Between PySyncObj and its transport: nobody is told of an entry before it is on this manager's disk.

PySyncObj acknowledges an entry the moment it has it in memory. Here acknowledgements wait until the journal is synced,
once for all that a tick brought. The other messages go at once: a leader may send an entry while it writes it itself.
What PySyncObj's messages lack is added on the way: see `elections` and `log_matching`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.raft.stable_node import StableNode

Message = Mapping[str, Any]

_HELD_MAX = 10_000
"""Acknowledgements of one tick; what is more is dropped, as by a network, and asked for again."""


class Outbox:
    """Stands where PySyncObj has its transport; everything but `send` is the transport's own."""

    def __init__(self, transport: Any, complete: Callable[[Message], Message]) -> None:
        """`complete` gives a message the fields PySyncObj leaves out."""
        self._transport = transport
        self._complete = complete
        self._held: list[tuple[StableNode, Message]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def send(self, node: StableNode, message: Message) -> bool:
        """Send the message, or hold it until `release`; returns whether it may arrive."""
        message = self._complete(message)
        if message["type"] != "next_node_idx":
            return bool(self._transport.send(node, message))
        if len(self._held) >= _HELD_MAX:
            return False
        self._held.append((node, message))
        return True

    def drop(self, node: StableNode) -> None:
        """Send the peer nothing of what waits for `release`."""
        self._held = [held for held in self._held if held[0] != node]

    def release(self) -> None:
        """The journal is synced: send what waited for it."""
        held, self._held = self._held, []
        for node, message in held:
            self._transport.send(node, message)
