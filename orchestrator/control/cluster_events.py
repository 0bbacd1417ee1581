"""The cluster's events as `docker events` tells them, derived from what a batch changed. Pure.

Names, actions and attributes are those of moby's `daemon/events.go`.
"""

from dataclasses import dataclass

from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.network import Network
from orchestrator.model.node import Node
from orchestrator.model.service import Service, ServiceMode
from orchestrator.state.history import Changed, Followed


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """One event of swarm scope."""

    kind: str
    """ "node", "service", "network", "secret" or "config"."""
    action: str
    """ "create", "update" or "remove"."""
    id: str
    attributes: tuple[tuple[str, str], ...]
    at: float
    """Seconds since the epoch."""


def event_of(changed: Changed) -> ClusterEvent | None:
    """The event of a change; None for one that users do not see."""
    before, after = _visible(changed.before), _visible(changed.after)
    if after is None:
        return None if before is None else _event("remove", before, (), changed.at)
    if before is None:
        return _event("create", after, (), changed.at)
    differences = _differences(before, after)
    return None if differences is None else _event("update", after, differences, changed.at)


def _visible(item: Followed | None) -> Followed | None:
    # A removed network is carried for as long as tasks that leave are on it: for users it is gone.
    return None if isinstance(item, Network) and item.removing else item


def _event(action: str, item: Followed, differences: tuple[tuple[str, str], ...], at: float) -> ClusterEvent:
    return ClusterEvent(_kind(item), action, item.id, (("name", _name(item)), *differences), at)


def _kind(item: Followed) -> str:
    if isinstance(item, Node):
        return "node"
    if isinstance(item, Service):
        return "service"
    if isinstance(item, Network):
        return "network"
    return "secret" if isinstance(item, Secret) else "config"


def _name(item: Followed) -> str:
    return item.spec.name or item.description.hostname if isinstance(item, Node) else item.name


def _differences(before: Followed, after: Followed) -> tuple[tuple[str, str], ...] | None:
    """What an update changed, as attributes; None when only book-keeping did."""
    if isinstance(before, Node) and isinstance(after, Node):
        return _of_node(before, after)
    if isinstance(before, Service) and isinstance(after, Service):
        return _of_service(before, after)
    if isinstance(before, Secret | ConfigObject) and isinstance(after, Secret | ConfigObject):
        return () if before.labels != after.labels else None
    return None


def _of_node(before: Node, after: Node) -> tuple[tuple[str, str], ...] | None:
    pairs = (
        ("availability", before.spec.availability.value, after.spec.availability.value),
        ("role", before.role.value, after.role.value),
        ("state", before.state.value, after.state.value),
        ("reachability", before.reachability.value, after.reachability.value),
    )
    told = (before.spec, before.role, before.state, before.message, before.reachability, before.description)
    if told == (after.spec, after.role, after.state, after.message, after.reachability, after.description):
        return None
    # A manager's reachability begins and ends with its role: that is no change of its own.
    is_manager = before.role is after.role
    attributes = [pair for name, old, new in pairs for pair in _pair(name, old, new)]
    return tuple(pair for pair in attributes if is_manager or not pair[0].startswith("reachability"))


def _of_service(before: Service, after: Service) -> tuple[tuple[str, str], ...] | None:
    if (before.spec, before.update_status, before.ports) == (after.spec, after.update_status, after.ports):
        return None
    attributes = [*_pair("image", before.spec.task.container.image, after.spec.task.container.image)]
    if after.spec.mode is ServiceMode.REPLICATED:
        attributes += _pair("replicas", str(before.spec.desired_replicas), str(after.spec.desired_replicas))
    if after.update_status is not None:
        old = before.update_status.state.value if before.update_status else ""
        pairs = _pair("updatestate", old, after.update_status.state.value)
        attributes += [(name, value) for name, value in pairs if value]
    return tuple(attributes)


def _pair(name: str, before: str, after: str) -> tuple[tuple[str, str], ...]:
    return ((f"{name}.old", before), (f"{name}.new", after)) if before != after else ()
