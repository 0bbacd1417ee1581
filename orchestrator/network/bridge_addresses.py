"""The virtual addresses on this node's bridges: what makes the node answer for them, to its own tasks alone.

Blocking, over netlink. Which addresses there are to be is `ingress_rules.virtual_addresses`; the rules that balance
what comes to one must be in force before it is on its bridge, and as long as it is.
"""

import errno
from collections.abc import Collection

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from orchestrator.network.overlay_rules import BRIDGE_PREFIX

BridgeAddress = tuple[str, str]
"""(bridge, IPv4 address)."""

_PREFIX_LENGTH = 32
_SCOPE_HOST = 254
"""An address that is never chosen as the source of anything but answers from itself."""
_ABSENT = (errno.EADDRNOTAVAIL, errno.ENODEV)


class BridgeAddresses:
    """Addresses of ours in the network namespace of the calling thread. Methods raise `OSError`."""

    def remove_others(self, wanted: Collection[BridgeAddress]) -> None:
        """Take every virtual address that is not wanted off its bridge."""
        with IPRoute() as route:
            indexes = _bridges(route)
            for bridge, address in sorted(_present(route, indexes).difference(wanted)):
                _change(route, "del", indexes[bridge], address, _ABSENT)

    def add(self, wanted: Collection[BridgeAddress]) -> None:
        """Put every wanted address that is not there on its bridge; one whose bridge is missing is left out."""
        with IPRoute() as route:
            indexes = _bridges(route)
            missing = set(wanted).difference(_present(route, indexes))
            for bridge, address in sorted(missing):
                if bridge in indexes:
                    _change(route, "add", indexes[bridge], address, (errno.EEXIST,))


def _bridges(route: IPRoute) -> dict[str, int]:
    return {
        link.get("ifname"): link["index"] for link in route.get_links() if link.get("ifname").startswith(BRIDGE_PREFIX)
    }


def _present(route: IPRoute, indexes: dict[str, int]) -> set[BridgeAddress]:
    names = {index: name for name, index in indexes.items()}
    return {
        (names[address["index"]], address.get("local"))
        for address in route.get_addr()
        if address["index"] in names and address["prefixlen"] == _PREFIX_LENGTH and address["scope"] == _SCOPE_HOST
    }


def _change(route: IPRoute, verb: str, index: int, address: str, ignored: Collection[int]) -> None:
    try:
        route.addr(verb, index=index, address=address, prefixlen=_PREFIX_LENGTH, scope=_SCOPE_HOST)
    except NetlinkError as error:
        if error.code not in ignored:
            raise OSError(error.code, f"overlay: address {address}: {error}") from error
