"""What the names of the cluster's networks mean, as plain data: the zone files of a node's name server."""

from dataclasses import dataclass

TTL_S = 1
"""Seconds a client may keep an answer. The protocol has whole seconds only, and some resolvers ask twice at 0."""


@dataclass(frozen=True, slots=True)
class NamedService:
    """A service on one network."""

    name: str
    virtual_address: str
    """What the name means; empty when it means the tasks themselves (dnsrr)."""
    addresses: tuple[str, ...]
    """Of its serving tasks on ready nodes, ordered by task id: what `tasks.<name>` means."""
    aliases: tuple[str, ...] = ()
    """Further names of the service on this network."""


@dataclass(frozen=True, slots=True)
class NamedTask:
    """A task's own place on one network."""

    name: str
    """`web.1.<task id>`."""
    address: str
    aliases: tuple[str, ...] = ()
    """Names it has and its service has not (any more)."""
    hostnames: tuple[str, ...] = ()
    """What its container calls itself, once there is one: its short id, and the hostname it was given."""
    is_leaving: bool = False
    """Withdrawn: only its address still says whose it is, for logs of connections that are under way."""
    node_id: str = ""
    """Where it runs."""


@dataclass(frozen=True, slots=True)
class NameClient:
    """A task of this node, as one who asks."""

    task_id: str
    address: str
    """Its questions come from here."""
    nameservers: tuple[str, ...] = ()
    """The user's own resolvers (`--dns`) for names outside the cluster; empty = the node's."""
    is_confined: bool = False
    """All its networks are internal: it has no way out, and is told nothing of the outside."""


@dataclass(frozen=True, slots=True)
class NetworkNames:
    """All names of one network, as one node needs them."""

    network_id: str
    network_name: str
    services: tuple[NamedService, ...] = ()
    """Ordered by name."""
    tasks: tuple[NamedTask, ...] = ()
    """Ordered by task id."""
    clients: tuple[NameClient, ...] = ()
    """The node's own tasks on the network, ordered by task id."""
