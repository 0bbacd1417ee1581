"""Which of this machine's IPv4 addresses the other nodes shall use."""

import asyncio
import ipaddress
from collections.abc import Sequence

from orchestrator.model.errors import InvalidArgument
from orchestrator.model.node import MANAGEMENT_PORT

_MAX_PORT = 65535
_NOT_ADVERTISABLE = "advertise address must be a non-zero IP address or network interface (with optional port number)"
_OUR_BRIDGES = ("docker", "br-", "lo", "veth", "swarm", "vx")


def interface_addresses() -> list[tuple[str, str]]:
    """(interface name, IPv4 address) of every interface, in the kernel's order."""
    # Imported on first use: most nodes are told their address, and pyroute2 is a third of what the start costs.
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        links = {link["index"]: link.get_attr("IFLA_IFNAME") for link in netlink.get_links()}
        return [(links[a["index"]], a.get_attr("IFA_ADDRESS")) for a in netlink.get_addr(family=2)]


def is_address(wanted: str) -> bool:
    """Whether it is an address, with or without a port, and needs no look at the interfaces."""
    try:
        ipaddress.IPv4Address(wanted.rsplit(":", 1)[0])
    except ValueError:
        return False
    return True


def advertised(wanted: str, known: Sequence[tuple[str, str]]) -> str:
    """The address to advertise: `wanted` may be an address, "address:port", an interface, or empty to choose.

    Raises `InvalidArgument` in Docker's words when there is nothing, or more than one thing, to choose.
    """
    host = wanted.rsplit(":", 1)[0] if ":" in wanted else wanted
    if host:
        by_interface = [address for name, address in known if name == host]
        if by_interface:
            return by_interface[0]
        return _parsed(host)
    candidates = [address for name, address in known if not name.startswith(_OUR_BRIDGES)]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise InvalidArgument("could not find the system's IP address - specify one with --advertise-addr")
    raise InvalidArgument(
        "could not choose an IP address to advertise since this system has multiple addresses on different "
        f"interfaces ({', '.join(candidates)}) - specify one with --advertise-addr"
    )


def check_listening(wanted: str, known: Sequence[tuple[str, str]]) -> None:
    """Raise `InvalidArgument` unless one can listen on `wanted`: an address or an interface, with or without a port."""
    host, _, port = wanted.rpartition(":") if ":" in wanted else (wanted, "", "")
    is_known = is_address(wanted) or any(name == host for name, _ in known)
    if not is_known or (":" in wanted and not _is_port(port)):
        raise InvalidArgument("listen address must be an IP address or network interface (with optional port number)")


def port_of(wanted: str) -> int:
    """The port of "address:port"; 0 when none is given."""
    _, _, port = wanted.rpartition(":") if ":" in wanted else ("", "", "")
    return int(port) if _is_port(port) else 0


async def choose_advertised(wanted: str, data_path: str) -> str:
    """The address that the others shall know this node by, of those this machine has.

    Raises `InvalidArgument` as `advertised` does, and when the data path is to have another one.
    """
    is_told = is_address(wanted) and not data_path
    known = [] if is_told else await asyncio.to_thread(interface_addresses)
    address = advertised(wanted, known)
    if data_path and advertised(data_path, known) != address:
        raise InvalidArgument(f"data path address {data_path} must be the advertised address {address}")
    return address


async def ensure_listening(wanted: str) -> None:
    """Raise `InvalidArgument` as `check_listening` does, after a look at this machine's interfaces if need be."""
    known = [] if is_address(wanted) else await asyncio.to_thread(interface_addresses)
    check_listening(wanted, known)


def management_port(listen_address: str, advertise_address: str) -> int:
    """Where to listen as a manager. Raises `InvalidArgument` when the others are to be told another port."""
    port = port_of(listen_address) or MANAGEMENT_PORT
    told = port_of(advertise_address) or port
    if told != port:
        raise InvalidArgument(f"advertise address {advertise_address} must use the port listened on: {port}")
    return port


def _is_port(text: str) -> bool:
    return text.isdecimal() and int(text) <= _MAX_PORT


def _parsed(host: str) -> str:
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        raise InvalidArgument(_NOT_ADVERTISABLE) from None
    if address.is_unspecified:
        raise InvalidArgument(_NOT_ADVERTISABLE)
    return str(address)
