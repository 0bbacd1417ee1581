"""One batch under way: the numbers and the clock its handlers share."""

from dataclasses import dataclass

from orchestrator.state.cluster_state import ClusterState


@dataclass(slots=True)
class Change:
    """What a handler of an action works with."""

    state: ClusterState
    at: float
    """The batch's time, seconds since the epoch."""
    index: int
    """The version every changed object gets."""

    def touch_network(self) -> int:
        """Note that some node's data plane must change; returns the revision that will say so.

        All changes of a batch share one revision, so a new endpoint is known wherever the old one has left.
        """
        self.state.network_revision = self.index
        return self.index
