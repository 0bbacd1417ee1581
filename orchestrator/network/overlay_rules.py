"""What the tunnels of the overlay networks should be, and which changes lead there from what the kernel has.

Every node has one bridge per network, with the network's whole subnet on it, and one VXLAN device enslaved to that
bridge. The VXLAN device does not learn: a frame for a bridge address that is not here goes to every peer, and the
peers' bridges decide. So no node can hold a stale idea of where a task lives, at the price of a few copied frames.

Pure. Nothing that already is as it should be appears in the changes: a restarted `swarmd` disturbs no traffic.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.model.network import NetworkConfiguration

TUNNEL_MTU_BYTES = 1450
"""1500 less the 50 bytes of a VXLAN header over IPv4 (RFC 7348, section 5)."""

BRIDGE_PREFIX = "sw-"
TUNNEL_PREFIX = "vx-"
_ID_CHARACTERS = 12
"""Of a network's id: with the prefix 15 characters, the longest name an interface may have."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A VXLAN device, as it should be or as the kernel has it."""

    name: str
    vni: int
    port: int
    bridge: str
    """Name of the bridge it is enslaved to; empty = none."""
    peers: tuple[str, ...]
    """Sorted addresses of the nodes that frames are sent to."""
    is_up: bool = True


@dataclass(frozen=True, slots=True)
class TunnelChanges:
    """What to do to the kernel, in the order of the fields."""

    delete: tuple[str, ...] = ()
    """Device names: tunnels of networks that are gone, and tunnels that must be made anew."""
    create: tuple[Tunnel, ...] = ()
    """Without their peers, which are in `add_peers`."""
    attach: tuple[tuple[str, str], ...] = ()
    """(device, bridge) to enslave and set up."""
    add_peers: tuple[tuple[str, str], ...] = ()
    """(device, peer address)."""
    remove_peers: tuple[tuple[str, str], ...] = ()


def bridge_name(network_id: str) -> str:
    """The bridge device of a network."""
    return BRIDGE_PREFIX + network_id[:_ID_CHARACTERS]


def tunnel_name(network_id: str) -> str:
    """The VXLAN device of a network."""
    return TUNNEL_PREFIX + network_id[:_ID_CHARACTERS]


def desired_tunnels(configuration: NetworkConfiguration) -> tuple[Tunnel, ...]:
    """The tunnels that carry the configuration's networks."""
    port = configuration.data_path_port
    peers = tuple(sorted({peer.address for peer in configuration.peers if peer.address}))
    return tuple(
        Tunnel(tunnel_name(network.network_id), network.vni, port, bridge_name(network.network_id), peers)
        for network in configuration.networks
    )


def plan_tunnels(desired: Sequence[Tunnel], observed: Sequence[Tunnel]) -> TunnelChanges:
    """The changes that turn the observed tunnels of ours into the desired ones; none when they are equal."""
    wanted = {tunnel.name: tunnel for tunnel in desired}
    # Neither the identifier nor the port of a VXLAN device can be changed while it lives.
    kept = {
        tunnel.name: tunnel
        for tunnel in observed
        if tunnel.name in wanted and (tunnel.vni, tunnel.port) == (wanted[tunnel.name].vni, wanted[tunnel.name].port)
    }
    add_peers: list[tuple[str, str]] = []
    remove_peers: list[tuple[str, str]] = []
    for tunnel in desired:
        present = kept[tunnel.name].peers if tunnel.name in kept else ()
        add_peers += [(tunnel.name, peer) for peer in tunnel.peers if peer not in present]
        remove_peers += [(tunnel.name, peer) for peer in present if peer not in tunnel.peers]
    return TunnelChanges(
        delete=tuple(tunnel.name for tunnel in observed if tunnel.name not in kept),
        create=tuple(tunnel for tunnel in desired if tunnel.name not in kept),
        attach=tuple((tunnel.name, tunnel.bridge) for tunnel in desired if not _is_attached(tunnel, kept)),
        add_peers=tuple(add_peers),
        remove_peers=tuple(remove_peers),
    )


def _is_attached(tunnel: Tunnel, kept: dict[str, Tunnel]) -> bool:
    present = kept.get(tunnel.name)
    return present is not None and present.bridge == tunnel.bridge and present.is_up
