"""One fault: in force from its making until it is healed, by whichever of its ends comes first."""

from __future__ import annotations

import enum
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from pytest_swarm.faults_rules import Cut
from pytest_swarm.node import Node
from pytest_swarm.phases import Operation

logger = logging.getLogger(__name__)


class Kind(enum.Enum):
    """What a fault breaks. All of a cluster are healed in this order: what comes later needs nodes that run."""

    NETWORK = enum.auto()
    KILLED = enum.auto()
    PAUSED = enum.auto()
    PROCESS = enum.auto()
    DISK = enum.auto()
    CLOCK = enum.auto()


class NodeIsDown(ValueError):
    """Nothing can be done inside the node while another fault keeps it down."""


STOPPED = frozenset([Kind.KILLED, Kind.PAUSED])
"""Nothing runs on the node."""
OVERDUE_SECONDS = 1.0
"""How often a fault whose limit has passed while its node is down tries to end."""
DOWN = STOPPED | {Kind.PROCESS}
"""Its API does not answer."""


class Book(Protocol):
    """Where a fault is kept while it is in force."""

    def remove(self, fault: Fault) -> None:
        """Take it as no longer in force, and note its end."""

    def settle(self) -> None:
        """Wait until the cluster is whole, unless another fault is in force."""


class Fault:
    """A fault in force, until it is healed. `nodes` are those it befell."""

    def __init__(
        self,
        book: Book,
        kind: Kind,
        name: str,
        nodes: Sequence[Node],
        undo: Callable[[], None],
        cuts: Sequence[Cut] = (),
    ) -> None:
        self.kind = kind
        self.name = name
        self.nodes = tuple(nodes)
        self.cuts = tuple(cuts)
        self.started = time.time()
        self.finished = math.inf
        self.is_ending = False
        self._book = book
        self._undo = undo
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None

    @property
    def node(self) -> Node:
        """The one node it befell, or the first of them."""
        return self.nodes[0]

    @property
    def takes_down(self) -> bool:
        """Whether it keeps the API of its nodes away."""
        return self.kind in DOWN

    @property
    def is_active(self) -> bool:
        return self.finished == math.inf

    @property
    def operation(self) -> Operation:
        """How it stands on the timeline; it has no end while it is in force."""
        killed = tuple(node.name for node in self.nodes) if self.kind is Kind.KILLED else ()
        return Operation(self.name, self.started, self.finished, is_fault=True, killed=killed)

    @property
    def seconds(self) -> float:
        """How long it was in force; infinite while it is."""
        return self.finished - self.started

    def heal(self) -> None:
        """Undo it; the last fault to go also waits until the cluster is whole again. Once healed, nothing is done.

        Raises DeadlineExceeded when what it broke does not come back; then the fault stays in force.
        """
        self.end()
        self._book.settle()

    def end(self) -> None:
        """Undo it as `heal` does, without waiting for the rest of the cluster."""
        with self._lock:
            if not self.is_active:
                return
            if self._timer is not None:
                self._timer.cancel()
            self.is_ending = True
            self._undo()
            self.finished = time.time()
            self._book.remove(self)

    def limit_to(self, seconds: float) -> None:
        """Let it end by itself after so many seconds."""
        self._timer = threading.Timer(seconds, self._expire, [seconds])
        self._timer.daemon = True
        self._timer.start()

    def _expire(self, seconds: float) -> None:
        try:
            self.end()
            logger.warning("a fault reached its limit and was healed", extra={"fault": self.name, "seconds": seconds})
        except NodeIsDown:
            # The fault that keeps it down has a limit of its own.
            self.limit_to(OVERDUE_SECONDS)
        except Exception:
            # It stays in force: the next to heal it will meet the same error, and raise it where it is seen.
            logger.exception("the fault could not be healed", extra={"fault": self.name})

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.heal()
