"""What the leader heard from the nodes, kept in memory and learned anew by each leader."""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.model.session import Heartbeat, NodeObservation


class Observations:
    """The last word of each node."""

    def __init__(self) -> None:
        self._by_node: dict[str, NodeObservation] = {}

    @property
    def by_node(self) -> Mapping[str, NodeObservation]:
        """Observation by node id; a node not heard since this manager leads is absent."""
        return self._by_node

    def heard(self, node_id: str, heartbeat: Heartbeat, now: float, period: float = 0.0) -> bool:
        """Note a node's word; returns whether it says anything new beside being alive.

        `period`: seconds within which it is to be heard again. Another one is news: whoever waits for the node's
        silence waits by the old one.
        """
        before = self._by_node.get(node_id)
        after = self._by_node[node_id] = NodeObservation(now, heartbeat.revision, heartbeat.flows, period)
        return before is None or replace(before, last_heard=now) != after

    def forget(self) -> None:
        """A new term of office begins: nothing has been heard in it yet."""
        self._by_node.clear()
