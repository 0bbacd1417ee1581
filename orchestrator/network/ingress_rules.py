"""The routing mesh and the virtual addresses as one nftables script: which connections go to which task.

Why the rules look as they do (kernel sources: net/netfilter/nf_tables_api.c, nf_tables_core.c):

* One transaction replaces all rules, and the base chains stay. A packet reads the generation once per base chain and
  then sees all of the old rules or all of the new. Were the chains themselves deleted and made anew, as `delete table`
  does, a packet could pass the new chain before the commit and the old one after it, and match neither.
* No sets and no maps on the path of a request. Their elements carry a generation of their own, read at each lookup: a
  packet inside the old rules could look into an old map just after the commit and find it empty. So endpoints are a
  sequence of rules, each taking every n-th of the connections that reach it: of three endpoints the first takes one in
  three, the second one in two of the rest, the third what is left. `numgen inc` counts atomically over all processors,
  so the shares are exact.
* Each connection gets a mark that says "ours" and names its endpoint: the mark alone decides the masquerading and the
  accepting in the engine's firewall, by rules that never change, and finds the connections of one endpoint quickly.
* Masquerading sends the answers back through this node, for tasks on other nodes as well as for a task that is its own
  client. Where the client is on the node's loopback it is what makes the source routable.
* Each connection goes to the port that its task was made with: during an update that changes the target port, old tasks
  do not listen on the new one.
* A service without an endpoint refuses: a reset or "port unreachable" at once, as in swarm mode. Refusing before the
  connection is tracked leaves nothing behind that could hold the client's source port to "nowhere".
* Of TCP only what begins a connection is balanced, as IPVS does. A packet from the middle of a connection whose task
  has ended is answered with a reset right here. Led to another task it might meet the remains of an older connection
  by the same addresses and ports, TIME_WAIT, which acknowledge and never reset: the client would wait for ever.

A virtual address is an address of every node's own bridge on the network (`virtual_addresses`), so each node balances
what its own tasks ask of it, and only that:

* It is balanced for the network's own members and for the node itself. From elsewhere it is not even an address.
* It is an address of the node, but no port that another service publishes is one of its ports, in the mesh or on the
  node. So it comes first, and what it does not balance is translated to itself, which no later rule changes any more.
* Neighbour requests for it, or in its name, do not pass the tunnels: the bridges of all nodes have the same one.

Networks are apart: what comes from one is not forwarded to another unless it was balanced there, for a published port.

Pure: text in, text out.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from orchestrator.model.network import BalancedService, NetworkConfiguration
from orchestrator.model.service import PortConfig, PublishMode
from orchestrator.network.overlay_rules import BRIDGE_PREFIX, TUNNEL_PREFIX, bridge_name

MARK = 0x53000000
"""High byte of the connection mark of every connection that this node balances."""
MARK_MASK = 0xFF000000
ENDPOINT_MASK = 0x00FFFFFF
"""The rest of the mark: the low three bytes of the endpoint's address, which are its own within a /8."""

REMOVE_SCRIPT = "".join(f"add table {table}\ndelete table {table}\n" for table in ("ip swarm", "bridge swarm"))

_BEFORE_DOCKER = 5
"""Ahead of the engine's own address translation: the first chain that translates a connection decides."""
_DNAT_PRIORITY = -100 - _BEFORE_DOCKER
_SNAT_PRIORITY = 100 - _BEFORE_DOCKER
_FILTER_BEFORE_DOCKER = -_BEFORE_DOCKER
_PROTOCOLS = ("tcp", "udp")
"""What virtual addresses are balanced for, whatever the port."""
_BEGINS = {"tcp": " tcp flags & (fin | syn | rst | ack) == syn", "udp": ""}
"""What of a protocol begins a connection, as far as its packets tell."""
_IS_OURS = f"ct mark & {MARK_MASK:#010x} == {MARK:#010x}"
_IS_NOT_OURS = f"ct mark & {MARK_MASK:#010x} != {MARK:#010x}"

_TEMPLATE = f"""\
add table ip swarm
flush table ip swarm
add table bridge swarm
flush table bridge swarm
table ip swarm {{
  chain spoofed_loopback {{
    type filter hook prerouting priority -300; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }}
  chain foreign {{
    type filter hook prerouting priority -299; policy accept;
%(foreign)s  }}
  chain services {{
%(balanced)s  }}
  chain virtual {{
%(virtual)s  }}
  chain members {{
%(members)s  }}
  chain not_balanced {{
%(not_balanced)s  }}
  chain prerouting {{
    type nat hook prerouting priority {_DNAT_PRIORITY}; policy accept;
    jump members
    jump not_balanced
    fib daddr type local jump services
  }}
  chain output {{
    type nat hook output priority {_DNAT_PRIORITY}; policy accept;
    jump virtual
    jump not_balanced
    fib daddr type local jump services
  }}
  chain postrouting {{
    type nat hook postrouting priority {_SNAT_PRIORITY}; policy accept;
    {_IS_OURS} masquerade
  }}
  chain refused {{
%(refused)s  }}
  chain input {{
    type filter hook input priority 0; policy accept;
    ct state new jump refused
  }}
  chain local_output {{
    type filter hook output priority 0; policy accept;
    ct state new fib daddr type local jump refused
  }}
  chain apart {{
%(apart)s  }}
  chain forward {{
    type filter hook forward priority {_FILTER_BEFORE_DOCKER}; policy accept;
    {_IS_NOT_OURS} jump apart
  }}
}}
table bridge swarm {{
  chain prerouting {{
    type filter hook prerouting priority -300; policy accept;
%(arriving)s  }}
  chain postrouting {{
    type filter hook postrouting priority 300; policy accept;
%(leaving)s  }}
}}
"""

Share = tuple[str, str]
"""(address of an endpoint, where to translate the destination to)."""


def endpoint_mark(address: str) -> int:
    """The connection mark of connections balanced to the endpoint."""
    return MARK | (int(IPv4Address(address)) & ENDPOINT_MASK)


def ingress_script(configuration: NetworkConfiguration) -> str:
    """The input of `nft -f` that makes this node balance and separate exactly what the configuration says."""
    balanced: list[str] = []
    refused: list[str] = []
    for service in configuration.services:
        for port in service.ports:
            if port.publish_mode is not PublishMode.INGRESS or not port.published_port:
                continue
            targets = [(e.address, e.target_of(port)) for e in service.endpoints if e.address]
            shares = [(address, f"{address}:{target}") for address, target in targets if target is not None]
            if shares:
                balanced += _balance(f"{port.protocol} dport {port.published_port}", port.protocol, shares)
            if not shares or port.protocol == "tcp":
                refused.append(_refuse(port))
    addresses = virtual_addresses(configuration)
    return _TEMPLATE % {
        "balanced": _indented(balanced),
        "refused": _indented([*refused, *_refuse_virtual(addresses)]),
        "virtual": _indented(_balance_virtual(configuration)),
        "members": _indented(_members(configuration)),
        "not_balanced": _indented(f"ip daddr {address} dnat to {address}" for _, address in addresses),
        "foreign": _indented(_drop_foreign(configuration)),
        "apart": _indented(_keep_apart(configuration)),
        "arriving": _indented(_drop_neighbour_requests("iifname", addresses)),
        "leaving": _indented(_drop_neighbour_requests("oifname", addresses)),
    }


def virtual_addresses(configuration: NetworkConfiguration) -> tuple[tuple[str, str], ...]:
    """(bridge, address) of every virtual address that this node's bridges are to have, sorted."""
    carried = {network.network_id for network in configuration.networks}
    return tuple(
        sorted(
            {
                (bridge_name(network_id), address)
                for service in configuration.services
                for network_id, address in service.virtual_addresses
                if network_id in carried
            }
        )
    )


def _balance(match: str, protocol: str, shares: list[Share]) -> list[str]:
    remaining = range(len(shares), 0, -1)
    return [
        f"{match}{_BEGINS[protocol]} jump {{",
        *(_share(share, protocol, one_in) for share, one_in in zip(shares, remaining, strict=True)),
        "}",
    ]


def _share(share: Share, protocol: str, one_in: int) -> str:
    address, target = share
    choice = f"numgen inc mod {one_in} == 0 " if one_in > 1 else ""
    return f"  meta l4proto {protocol} {choice}ct mark set {endpoint_mark(address):#010x} dnat to {target}"


def _refuse(port: PortConfig) -> str:
    answer = "reject with tcp reset" if port.protocol == "tcp" else "reject"
    return f"{port.protocol} dport {port.published_port} {answer}"


def _balance_virtual(configuration: NetworkConfiguration) -> Iterator[str]:
    for network in configuration.networks:
        yield from _balance_network(configuration.services, network.network_id)


def _members(configuration: NetworkConfiguration) -> Iterator[str]:
    """Who comes from a network's bridge is balanced on that network alone."""
    for network in configuration.networks:
        if any(network.network_id == carried for s in configuration.services for carried, _ in s.virtual_addresses):
            yield f'iifname "{bridge_name(network.network_id)}" ip daddr {network.subnet} jump virtual'


def _balance_network(services: tuple[BalancedService, ...], network_id: str) -> list[str]:
    lines: list[str] = []
    for service in services:
        found = (endpoint.address_on(network_id) for endpoint in service.endpoints)
        shares = [(address, address) for address in found if address is not None]
        for carried, virtual in service.virtual_addresses if shares else ():
            if carried == network_id:
                for protocol in _PROTOCOLS:
                    lines += _balance(f"ip daddr {virtual} meta l4proto {protocol}", protocol, shares)
    return lines


def _refuse_virtual(addresses: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """What was not balanced must not reach the node's own servers, which may listen on all addresses."""
    for _, address in addresses:
        yield f"ip daddr {address} meta l4proto tcp reject with tcp reset"
        yield f"ip daddr {address} meta l4proto udp reject"


def _drop_foreign(configuration: NetworkConfiguration) -> Iterator[str]:
    """Members of one network do not reach the bridge's addresses on another."""
    for network in configuration.networks:
        bridge = bridge_name(network.network_id)
        yield f'iifname "{BRIDGE_PREFIX}*" iifname != "{bridge}" ip daddr {network.subnet} drop'


def _keep_apart(configuration: NetworkConfiguration) -> Iterator[str]:
    for network in configuration.networks:
        bridge = bridge_name(network.network_id)
        yield f'iifname "{bridge}" oifname != "{bridge}" oifname "{BRIDGE_PREFIX}*" drop'
        if network.internal:
            yield f'iifname "{bridge}" oifname != "{bridge}" drop'
            yield f'oifname "{bridge}" iifname != "{bridge}" drop'


def _drop_neighbour_requests(direction: str, addresses: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for _, address in addresses:
        for role in ("daddr", "saddr"):
            yield f'{direction} "{TUNNEL_PREFIX}*" arp {role} ip {address} drop'


def _indented(lines: Iterable[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)
