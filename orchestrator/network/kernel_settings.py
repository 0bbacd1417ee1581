"""The kernel's switches (`/proc/sys/net`) that the data plane depends on, and why each is set."""

from pathlib import Path

_NET = Path("/proc/sys/net")

_NODE_SETTINGS = {
    "ipv4/ip_forward": "1",
    # A packet outside the window that tracking expects would pass untranslated, and the node itself would then reset
    # the connection: an answer lost for a packet that was merely late. https://github.com/kubernetes/kubernetes/pull/74840
    "netfilter/nf_conntrack_tcp_be_liberal": "1",
    # As long as the sockets' own TIME_WAIT (60 s, include/net/tcp.h): longer only keeps masquerading's ports taken.
    "netfilter/nf_conntrack_tcp_timeout_time_wait": "60",
    # A task that asks for a virtual address is sent back over the bridge it came from. It must not be told of the
    # shorter way: it would send all that is for that address to the one task it was balanced to first.
    "ipv4/conf/all/send_redirects": "0",
}
_OPTIONAL_NODE_SETTINGS = {
    # Frames between tasks are switched, not routed. Were they tracked as well, a task that reaches itself through the
    # mesh would be translated inside the bridge, which does not send a frame back where it came from.
    "bridge/bridge-nf-call-iptables": "0",
}
_BRIDGE_SETTINGS = {
    # Lets clients on the node's loopback reach tasks; the rules drop loopback addresses that come in from outside.
    "route_localnet": "1",
    "send_redirects": "0",
}


def set_node_settings() -> None:
    """Set what holds for the whole network namespace. Raises `OSError`."""
    for name, value in _NODE_SETTINGS.items():
        _write(_NET / name, value)
    for name, value in _OPTIONAL_NODE_SETTINGS.items():
        if (_NET / name).exists():
            _write(_NET / name, value)


def set_bridge_settings(bridge: str) -> None:
    """Set what holds for one of our bridges. Raises `OSError`."""
    for name, value in _BRIDGE_SETTINGS.items():
        _write(_NET / "ipv4" / "conf" / bridge / name, value)


def _write(path: Path, value: str) -> None:
    if path.read_text().strip() != value:
        path.write_text(value)
