"""Arithmetic on IPv4 subnets as the cluster writes them: "10.0.1.0/24". Pure."""

from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network

_REMEMBERED = 4096


@lru_cache(_REMEMBERED)
def subnet_of(text: str) -> IPv4Network:
    """The subnet; raises `ValueError` for text that is none."""
    return IPv4Network(text)


def overlaps(one: str, other: str) -> bool:
    """Whether the subnets share an address."""
    return subnet_of(one).overlaps(subnet_of(other))


def is_ipv4(text: str) -> bool:
    """Whether the text is an IPv4 address as the cluster writes them."""
    try:
        return str(IPv4Address(text)) == text
    except AddressValueError:
        return False
