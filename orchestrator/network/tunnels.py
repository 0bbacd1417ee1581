"""The kernel's VXLAN devices and neighbour tables, over netlink (the only user of pyroute2's route socket).

Blocking: `overlay` calls it in a thread. What to change is decided in `overlay_rules`.
"""

import errno
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from orchestrator.network.overlay_rules import (
    BRIDGE_PREFIX,
    TUNNEL_MTU_BYTES,
    TUNNEL_PREFIX,
    Tunnel,
    TunnelChanges,
)

_ANY_ADDRESS = "00:00:00:00:00:00"
"""The forwarding entry of frames whose destination has no entry of its own: all frames, here."""
_FLAG_UP = 1
_STATE_PERMANENT = 0x80


@dataclass(frozen=True, slots=True)
class Devices:
    """What the kernel has of ours."""

    bridges: frozenset[str]
    tunnels: tuple[Tunnel, ...]
    """Ordered by name."""


class Tunnels:
    """VXLAN devices of ours in the network namespace of the calling thread. Methods raise `OSError`."""

    def observe(self) -> Devices:
        """Our bridges and tunnels as the kernel has them."""
        with _route_socket() as route:
            links = list(route.get_links())
            names = {link["index"]: link.get("ifname") for link in links}
            tunnels = [_tunnel(route, link, names) for link in links if _is_tunnel(link)]
        return Devices(
            bridges=frozenset(name for name in names.values() if name.startswith(BRIDGE_PREFIX)),
            tunnels=tuple(sorted(tunnels, key=lambda tunnel: tunnel.name)),
        )

    def change(self, changes: TunnelChanges) -> None:
        """Carry out the changes, in their order; stops at the first that the kernel refuses."""
        with _route_socket() as route:
            _change(route, changes)

    def forget_neighbours(self, addresses: Collection[str]) -> None:
        """Make the kernel ask anew, at the next packet, who has these addresses on our bridges."""
        with _route_socket() as route:
            bridges = _indexes(route, BRIDGE_PREFIX).values()
            for index in sorted(bridges):
                for neighbour in list(route.get_neighbours(ifindex=index)):
                    if neighbour.get("dst") in addresses and not neighbour["state"] & _STATE_PERMANENT:
                        _ignore_absence(route.neigh, "del", ifindex=index, dst=neighbour.get("dst"))


@contextmanager
def _route_socket() -> Iterator[IPRoute]:
    with IPRoute() as route:
        try:
            yield route
        except NetlinkError as error:
            # pyroute2's own errors are no `OSError`s.
            raise OSError(error.code, f"overlay: {error}") from error


def _is_tunnel(link: Any) -> bool:
    return bool(link.get("ifname").startswith(TUNNEL_PREFIX) and link.get(("linkinfo", "kind")) == "vxlan")


def _tunnel(route: Any, link: Any, names: dict[int, str]) -> Tunnel:
    options = link.get(("linkinfo", "data"))
    return Tunnel(
        name=link.get("ifname"),
        vni=options.get("vxlan_id"),
        port=options.get("vxlan_port"),
        bridge=names.get(link.get("master"), ""),
        peers=tuple(sorted(_peers(route, link["index"]))),
        is_up=bool(link["flags"] & _FLAG_UP),
    )


def _peers(route: Any, index: int) -> Iterable[str]:
    for entry in route.fdb("dump", ifindex=index):
        if entry["ifindex"] == index and entry.get("lladdr") == _ANY_ADDRESS and entry.get("dst"):
            yield entry.get("dst")


def _change(route: Any, changes: TunnelChanges) -> None:
    tunnels = _indexes(route, TUNNEL_PREFIX)
    for name in changes.delete:
        route.link("del", index=tunnels.pop(name))
    for tunnel in changes.create:
        route.link(
            "add",
            ifname=tunnel.name,
            kind="vxlan",
            vxlan_id=tunnel.vni,
            vxlan_port=tunnel.port,
            vxlan_learning=0,
            mtu=TUNNEL_MTU_BYTES,
        )
    tunnels = _indexes(route, TUNNEL_PREFIX)
    bridges = _indexes(route, BRIDGE_PREFIX)
    for name, peer in changes.add_peers:
        _ignore_presence(route.fdb, "append", ifindex=tunnels[name], lladdr=_ANY_ADDRESS, dst=peer)
    for name, peer in changes.remove_peers:
        _ignore_absence(route.fdb, "del", ifindex=tunnels[name], lladdr=_ANY_ADDRESS, dst=peer)
    for name, bridge in changes.attach:
        if bridge not in bridges:
            raise OSError(errno.ENODEV, f"overlay: the engine has no bridge {bridge}")
        route.link("set", index=tunnels[name], master=bridges[bridge], state="up")


def _indexes(route: Any, prefix: str) -> dict[str, int]:
    return {link.get("ifname"): link["index"] for link in route.get_links() if link.get("ifname").startswith(prefix)}


def _ignore_absence(call: Any, *arguments: Any, **options: Any) -> None:
    _ignore((errno.ENOENT, errno.ESRCH), call, *arguments, **options)


def _ignore_presence(call: Any, *arguments: Any, **options: Any) -> None:
    _ignore((errno.EEXIST,), call, *arguments, **options)


def _ignore(codes: Collection[int], call: Any, *arguments: Any, **options: Any) -> None:
    try:
        call(*arguments, **options)
    except NetlinkError as error:
        if error.code not in codes:
            raise
