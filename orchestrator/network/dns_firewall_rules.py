"""Who may ask this node's name server, as one nftables script.

* Only the network's own containers, and this node itself: what comes to a gateway's port 53 by any other interface is
  dropped. A node routes, so without this the outside could ask too, and containers of one network at another's gateway.
* Questions and answers are not tracked: a table of tracked connections that is full must not make names fail, and the
  routing mesh, which translates tracked packets alone, must leave port 53 here even where a service publishes it.

One transaction replaces all rules. Pure: text in, text out.
"""

from orchestrator.model.network import NetworkConfiguration
from orchestrator.network.overlay_rules import bridge_name

REMOVE_SCRIPT = "add table ip swarm_names\ndelete table ip swarm_names\n"

_PORTS = "meta l4proto { tcp, udp } th"
_TEMPLATE = """\
add table ip swarm_names
flush table ip swarm_names
table ip swarm_names {
  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
%(untracked)s  }
  chain output {
    type filter hook output priority -300; policy accept;
%(untracked)s  }
  chain input {
    type filter hook input priority 0; policy accept;
%(guards)s  }
}
"""


def firewall_script(configuration: NetworkConfiguration) -> str:
    """The input of `nft -f` that guards port 53 at the gateways of the networks that have names."""
    named = {names.network_id for names in configuration.names}
    networks = [network for network in configuration.networks if network.network_id in named and network.gateway]
    untracked = [
        f"ip {end} {network.gateway} {_PORTS} {port} 53 notrack"
        for network in networks
        for end, port in (("daddr", "dport"), ("saddr", "sport"))
    ]
    guards = [
        f'ip daddr {network.gateway} {_PORTS} dport 53 iifname != {{ "lo", "{bridge_name(network.network_id)}" }} drop'
        for network in networks
    ]
    return _TEMPLATE % {
        "untracked": _indented(untracked),
        "guards": _indented(guards),
    }


def _indented(lines: list[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)
