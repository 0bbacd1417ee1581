"""A `Store` of one manager that commits at once: for tests of what stands on the store."""

import asyncio
from collections.abc import Callable, Sequence

from orchestrator.model.errors import NoLeader, Unavailable
from orchestrator.state.actions import Action, Batch
from orchestrator.state.apply import apply
from orchestrator.state.cluster_state import ClusterState


class MemoryStore:
    """Applies proposals to its own state; the test may take the leadership away."""

    def __init__(self, address: str = "10.1.0.1", clock: Callable[[], float] = lambda: 0.0) -> None:
        self._address = address
        self._clock = clock
        self._state = ClusterState()
        self._leads = True
        self._term = 1
        self._subscribers: list[Callable[[], None]] = []
        self.batches: list[Batch] = []
        """Every batch that was committed, refused ones excluded."""

    @property
    def state(self) -> ClusterState:
        """The one replica."""
        return self._state

    @property
    def is_leader(self) -> bool:
        """As the test set it; at first true."""
        return self._leads

    @property
    def leader_address(self) -> str | None:
        """Its own address, or None after `depose`."""
        return self._address if self._leads else None

    @property
    def leading_term(self) -> int | None:
        """Rises with each `elect`."""
        return self._term if self._leads else None

    def now(self) -> float:
        """What the test's clock says."""
        return self._clock()

    async def catch_up(self) -> None:
        """The one replica has it all. Raises `NoLeader` after `depose`."""
        if not self._leads:
            raise NoLeader

    async def propose(self, actions: Sequence[Action], *, at: float | None = None) -> None:
        """Apply at once. Raises what `apply` raises, and `Unavailable` after `depose`."""
        if not self._leads:
            raise Unavailable("this manager does not lead")
        batch = Batch(self._clock() if at is None else at, tuple(actions))
        apply(self._state, batch)
        self.batches.append(batch)
        self._notify()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back soon after every batch and change of leadership."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def depose(self) -> None:
        """Take the leadership away."""
        self._leads = False
        self._notify()

    def elect(self) -> None:
        """Give the leadership back, in a new term."""
        self._leads = True
        self._term += 1
        self._notify()

    def _notify(self) -> None:
        for callback in self._subscribers:
            asyncio.get_running_loop().call_soon(callback)
