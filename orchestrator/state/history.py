"""What a manager remembers of changes it applied lately, for those who follow events; not part of the state itself."""

from dataclasses import dataclass

from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.network import Network
from orchestrator.model.node import Node
from orchestrator.model.service import Service

LENGTH = 1024
"""Changes kept. Docker keeps 256 events, of one node's containers and of the swarm together."""

Followed = Node | Service | Network | Secret | ConfigObject
"""Objects whose changes are told; tasks are not, as in Docker."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One object before and after one batch."""

    number: int
    """Raised by 1 with every change of this manager's replica."""
    at: float
    """The batch's time, seconds since the epoch."""
    before: Followed | None
    """None: it was created."""
    after: Followed | None
    """None: it was removed."""
