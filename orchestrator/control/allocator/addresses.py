"""Addresses of a network: which are taken, and which comes next."""

import ipaddress
from collections.abc import Iterable, Iterator

from orchestrator.model.network import Network
from orchestrator.model.subnets import subnet_of
from orchestrator.state.cluster_state import ClusterState


class AddressPool:
    """The free addresses of one network during one run of the allocator.

    Goes round: each address is sought after the one given out last, so a freed one rests as long as possible and no
    stale connection or answer meets a new owner. A task's addresses are free only when the task is over and its
    endpoint released.
    """

    def __init__(self, state: ClusterState, network: Network) -> None:
        subnet = subnet_of(network.subnet)
        self._first = int(subnet.network_address)
        self._size = subnet.num_addresses
        self._prefix_length = subnet.prefixlen
        part = subnet_of(network.address_range) if network.address_range else subnet
        self._start = int(part.network_address) - self._first
        self._count = part.num_addresses
        # The first address is the gateway's by Docker's custom, though each node has its own here.
        self._taken = {0, 1, self._size - 1}
        self._last = self._offset(network.last_address) if network.last_address else self._start
        if network.gateway:
            self._taken.add(self._offset(network.gateway))
        self._take_all(address for _, address in network.reserved_addresses)
        self._take_all(address for holding, address in _addresses(state) if holding == network.id)
        for node in state.nodes.values():
            for holding, block in node.attachment_ranges:
                if holding == network.id:
                    self._take_block(subnet_of(block))

    def next(self) -> str | None:
        """The next free address after the one given out last; None when the network is full."""
        last = self._last - self._start
        offset = self._first_free(self._start + (last + step) % self._count for step in range(1, self._count + 1))
        if offset is None:
            return None
        self._last = offset
        return self._take(offset)

    def next_gateway(self) -> str | None:
        """For a node's bridge: outside the range that the user keeps for tasks, while there is any; else as `next`.

        Not the lowest: that may be a task's that has just died, and whoever still has its address would reach the node.
        """
        kept = range(self._start, self._start + self._count)
        is_all = self._count == self._size
        offset = None if is_all else self._first_free(offset for offset in range(self._size) if offset not in kept)
        return self.next() if offset is None else self._take(offset)

    def highest_block(self, prefix_length: int) -> str | None:
        """The highest subnet of that size without a taken address, in the user's range; None when there is none."""
        size = 1 << (32 - prefix_length)
        for offset in range(self._start + self._count - size, self._start - 1, -size):
            # The subnet's broadcast address may be in it, if not alone: engines never give that out.
            usable = range(offset, min(offset + size, self._size - 1))
            if usable and self._taken.isdisjoint(usable):
                block = ipaddress.IPv4Network((self._first + offset, prefix_length))
                self._take_block(block)
                return str(block)
        return None

    def give_back(self, address: str) -> None:
        """Free an address taken in this run."""
        self._taken.discard(self._offset(address))

    def _first_free(self, offsets: Iterable[int]) -> int | None:
        return next((offset for offset in offsets if offset not in self._taken), None)

    def _take(self, offset: int) -> str:
        self._taken.add(offset)
        return str(ipaddress.IPv4Address(self._first + offset))

    def _take_block(self, block: ipaddress.IPv4Network) -> None:
        start = int(block.network_address) - self._first
        self._taken.update(range(start, start + block.num_addresses))

    def _take_all(self, addresses: Iterable[str]) -> None:
        self._taken.update(self._offset(address) for address in addresses)

    def _offset(self, address: str) -> int:
        return int(ipaddress.IPv4Address(address)) - self._first


def _addresses(state: ClusterState) -> Iterator[tuple[str, str]]:
    """(network id, address) of everything that has one: nodes, services, tasks."""
    for node in state.nodes.values():
        yield from node.gateways
    for service in state.services.values():
        yield from ((network_id, address.partition("/")[0]) for network_id, address in service.virtual_addresses)
    for task in state.tasks.values():
        if task.is_gone:
            continue
        for attachment in task.attachments:
            yield attachment.network_id, attachment.address
            if attachment.virtual_address:
                yield attachment.network_id, attachment.virtual_address
