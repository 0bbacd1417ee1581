"""Managers that this one was told of and that its own log does not name yet.

Who was away while managers came and went knows only the old ones. If a new one leads, nobody sends it a log: it takes
none from a stranger, and the others do not lead. So those who refuse it their vote, because they hear a leader, say who
the managers are. From those it takes a log, which then names them; it neither counts them nor asks for their votes.
"""

from collections.abc import Iterable, Mapping, Set
from typing import Any, Protocol

from orchestrator.raft.stable_node import StableNode

MEMBERS = "members"
"""The type of the message: `members` are the "address:port" of all managers, as the sender knows them."""


class Newcomer(Protocol):
    """What is asked of the replica."""

    otherNodes: Set[StableNode]
    transport: Any

    @property
    def own_id(self) -> str:
        """Its own "address:port"."""
        ...

    @property
    def leader_node(self) -> StableNode | None:
        """The leader, as far as known."""
        ...


class Acquaintances:
    """One replica's."""

    def __init__(self, newcomer: Newcomer) -> None:
        self._newcomer = newcomer
        self._nodes: dict[StableNode, None] = {}

    def admit(self, node: StableNode, message: Mapping[str, Any]) -> bool:
        """Whether a message may be looked at that came from this manager: of those met here only a leader's."""
        if node not in self._newcomer.otherNodes:
            return node in self._nodes and message["type"] == "append_entries"
        if message["type"] == MEMBERS:
            self._meet(message["members"])
            return False
        return True

    def before_tick(self) -> None:
        """Forget them all once there is a leader that the log names."""
        leader = self._newcomer.leader_node
        if self._nodes and leader is not None and leader in self._newcomer.otherNodes:
            strangers = [node for node in self._nodes if node not in self._newcomer.otherNodes]
            self._nodes.clear()
            for node in strangers:
                self._newcomer.transport.dropNode(node)

    def _meet(self, members: Iterable[str]) -> None:
        own = self._newcomer
        for node in map(StableNode, members):
            if node.id != own.own_id and node not in own.otherNodes and node not in self._nodes:
                self._nodes[node] = None
                own.transport.addNode(node)
