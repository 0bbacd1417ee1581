"""Choose a subnet for a cluster that collides with nothing on this machine or inside its nodes. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

# Kept for test networks (RFC 2544), so nobody's real one is hidden; away from the ranges that engines (172.16/12,
# 192.168/16) and swarm mode (10/8) hand out inside the nodes.
_POOL = ipaddress.IPv4Network("198.18.0.0/15")
_PREFIX = 24


SUBNETS = 2 ** (_PREFIX - _POOL.prefixlen)
"""How many the pool has."""


def free_subnets(taken: Iterable[ipaddress.IPv4Network], first: int) -> Iterator[ipaddress.IPv4Network]:
    """Yield the free subnets of the pool in turn, starting at its `first` one (taken modulo their number)."""
    occupied = list(taken)
    candidates = list(_POOL.subnets(new_prefix=_PREFIX))
    start = first % len(candidates)
    for candidate in candidates[start:] + candidates[:start]:
        if not any(candidate.overlaps(network) for network in occupied):
            yield candidate


def node_address(subnet: ipaddress.IPv4Network, number: int) -> str:
    """Return the address of the node with this number, from 1: it keeps it when its container starts again.

    Raises ValueError when the part of the subnet that is kept for nodes is full.
    """
    address = subnet[number + 1]
    if address in dynamic_range(subnet):
        raise ValueError(f"{subnet} has no room for a node {number}")
    return str(address)


def gateway_of(subnet: ipaddress.IPv4Network) -> str:
    """Return the host's own address on the subnet."""
    return str(subnet[1])


def dynamic_range(subnet: ipaddress.IPv4Network) -> ipaddress.IPv4Network:
    """Return the half from which the engine serves containers without a fixed address.

    The address of a stopped node is free for the engine: it must not give it to somebody else.
    """
    return list(subnet.subnets(prefixlen_diff=1))[1]


def parse_routes(table: str) -> list[ipaddress.IPv4Network]:
    """Return the destinations in `/proc/net/route`, without the default route."""
    networks = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        destination, mask = (int.from_bytes(bytes.fromhex(fields[column]), "little") for column in (1, 7))
        if mask:
            networks.append(ipaddress.IPv4Network((destination, mask.bit_count()), strict=False))
    return networks
