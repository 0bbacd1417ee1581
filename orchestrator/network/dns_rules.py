"""What a node's name server answers: question and asker in, answer out.

Who asks decides what exists: a task sees the networks it is on, another container of the node the network of the
gateway it asked. Names, in the order they are looked up, alone or followed by `.<network name>`:

* `web`, or an alias of the service: its virtual address, or in dnsrr mode its serving tasks;
* `tasks.web`, also with an alias: every serving task;
* `web.1.<task id>`, or an alias of the task, or what its container calls itself: the task;
* and back: a task's address is `web.1.<task id>.<network>`; a virtual address has no name.

A service's name exists as long as the service: with no task it has no addresses, rather than not being. Ours alone,
and so nonexistent when they are unknown, are names of one label, `tasks.<label>`, names ending in a network's name or a
task id, and addresses of the cluster's networks. All else is outside and asked elsewhere, but not for an asker that is
on internal networks alone. Names of a network the asker is not on do not exist for it.

Pure: no wire format, no sockets.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from orchestrator.model.names import NamedService, NetworkNames
from orchestrator.model.network import NetworkConfiguration

_REVERSE_SUFFIX = ".in-addr.arpa"
_TASK_ID = re.compile(r"[0-9a-z]{25}")
"""As `identity.new_id` makes them. No top-level domain looks like this."""


class RecordType(Enum):
    """What is asked for, as far as it makes a difference here."""

    ADDRESS = auto()
    """A, or ANY."""
    POINTER = auto()
    OTHER = auto()
    """AAAA among them: the cluster's networks are IPv4, so such a record of a name that exists is an empty answer."""


class Outcome(Enum):
    """How an answer turns out."""

    FOUND = auto()
    """The name exists; there may be no record of the type asked for."""
    NO_SUCH_NAME = auto()
    OUTSIDE = auto()
    """Not for us to say: ask the resolvers of the outside."""
    NO_WAY_OUT = auto()
    """Outside, and the asker has no way there: by names, too, nothing is to leave an internal network."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before it is put into a message."""

    outcome: Outcome
    addresses: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as far as it matters."""

    network_ids: tuple[str, ...]
    """Networks it is on, searched in this order."""
    nameservers: tuple[str, ...] = ()
    """Its own resolvers of the outside; empty = the node's."""
    is_confined: bool = False
    """It is on internal networks alone."""


_OUTSIDE = Answer(Outcome.OUTSIDE)
_NO_WAY_OUT = Answer(Outcome.NO_WAY_OUT)
_NO_SUCH_NAME = Answer(Outcome.NO_SUCH_NAME)


class _Zone:
    """One network's names, ready to be looked up."""

    def __init__(self, names: NetworkNames) -> None:
        self.name = names.network_name.lower()
        self.addresses: dict[str, tuple[str, ...]] = {}
        self.pointers: dict[str, str] = {}
        for service in names.services:
            self._claim(service.name, _meaning(service))
            self._claim(f"tasks.{service.name}", service.addresses)
        for task in names.tasks:
            self.pointers[task.address] = f"{task.name}.{names.network_name}"
        self._share(
            (f"{prefix}{alias}", meaning)
            for service in names.services
            for alias in service.aliases
            for prefix, meaning in (("", _meaning(service)), ("tasks.", service.addresses))
        )
        self._share((task.name, (task.address,)) for task in names.tasks if not task.is_leaving)
        self._share((alias, (task.address,)) for task in names.tasks for alias in task.aliases)
        self._share(
            (hostname, (task.address,)) for task in names.tasks if not task.is_leaving for hostname in task.hostnames
        )

    def _claim(self, name: str, addresses: tuple[str, ...]) -> None:
        self.addresses[name.lower()] = addresses

    def _share(self, named: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Enter names that several may have together, unless they are taken by what ranks higher."""
        gathered: dict[str, dict[str, None]] = {}
        for name, addresses in named:
            gathered.setdefault(name.lower(), {}).update(dict.fromkeys(addresses))
        for name, found in gathered.items():
            self.addresses.setdefault(name, tuple(found))


class NameTable:
    """Everything a node's name server knows at one revision. `NameTable(NetworkConfiguration())` knows nothing."""

    def __init__(self, configuration: NetworkConfiguration) -> None:
        self._zones = {names.network_id: _Zone(names) for names in configuration.names}
        self._subnets = [ipaddress.IPv4Network(network.subnet) for network in configuration.networks]
        self._internal = {network.network_id for network in configuration.networks if network.internal}
        self._clients = _clients(configuration.names)
        self.gateways = {
            network.network_id: network.gateway
            for network in configuration.networks
            if network.network_id in self._zones and network.gateway
        }
        """Where this node's server listens, by network id."""

    def asker(self, source: str, network_id: str) -> Asker:
        """Who asks from that address, at the gateway of that network."""
        return self._clients.get(source) or Asker((network_id,), is_confined=network_id in self._internal)

    def answer(self, asker: Asker, name: str, record_type: RecordType) -> Answer:
        """What the asker is to be told of the name, which has no final dot. Their order means nothing."""
        answer = self._answer(asker, name.lower(), record_type)
        return _NO_WAY_OUT if answer.outcome is Outcome.OUTSIDE and asker.is_confined else answer

    def _answer(self, asker: Asker, sought: str, record_type: RecordType) -> Answer:
        zones = [self._zones[network_id] for network_id in asker.network_ids if network_id in self._zones]
        if sought.endswith(_REVERSE_SUFFIX):
            return self._reverse(zones, sought, record_type)
        addresses = _look_up(zones, sought)
        if addresses is not None:
            return Answer(Outcome.FOUND, addresses if record_type is RecordType.ADDRESS else ())
        return _NO_SUCH_NAME if _is_ours(zones, sought) else _OUTSIDE

    def _reverse(self, zones: Sequence[_Zone], sought: str, record_type: RecordType) -> Answer:
        address = _reversed_address(sought)
        if address is None or not any(address in subnet for subnet in self._subnets):
            return _OUTSIDE
        pointers = tuple(zone.pointers[str(address)] for zone in zones if str(address) in zone.pointers)
        if not pointers:
            return _NO_SUCH_NAME
        return Answer(Outcome.FOUND, pointers=pointers if record_type is RecordType.POINTER else ())


def _meaning(service: NamedService) -> tuple[str, ...]:
    return (service.virtual_address,) if service.virtual_address else service.addresses


def _clients(all_names: Sequence[NetworkNames]) -> dict[str, Asker]:
    """Asker by address. A task on several networks sees all of them, that of its question first."""
    networks: dict[str, list[str]] = {}
    for names in all_names:
        for client in names.clients:
            networks.setdefault(client.task_id, []).append(names.network_id)
    return {
        client.address: Asker(
            tuple(_first(networks[client.task_id], names.network_id)), client.nameservers, client.is_confined
        )
        for names in all_names
        for client in names.clients
    }


def _first(items: Sequence[str], first: str) -> Iterator[str]:
    yield first
    yield from (item for item in items if item != first)


def _look_up(zones: Sequence[_Zone], sought: str) -> tuple[str, ...] | None:
    for zone in zones:
        if sought in zone.addresses:
            return zone.addresses[sought]
    for zone in zones:
        local = sought.removesuffix(f".{zone.name}")
        if local != sought and local in zone.addresses:
            return zone.addresses[local]
    return None


def _is_ours(zones: Sequence[_Zone], sought: str) -> bool:
    if not sought:
        # The root, asked for by some resolvers to see whether a server lives.
        return False
    head, dot, last = sought.rpartition(".")
    if not dot or head == "tasks" or _TASK_ID.fullmatch(last):
        return True
    return any(sought.endswith(f".{zone.name}") for zone in zones)


def _reversed_address(name: str) -> ipaddress.IPv4Address | None:
    parts = name.removesuffix(_REVERSE_SUFFIX).split(".")
    try:
        return ipaddress.IPv4Address(".".join(reversed(parts)))
    except ValueError:
        return None
