"""resolv.conf(5): which name servers a C library asks and how, as data and as the text of the file. Pure."""

import ipaddress
from dataclasses import dataclass

MAX_NAMESERVERS = 3
"""A C library reads no more (resolv.conf(5), MAXNS)."""
_NO_DOMAIN = (".",)
"""As a search list, in Docker's words: none, not even the node's."""


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """What such a file says."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def read_resolver_file(text: str) -> ResolverSettings:
    """The settings in a file: of name servers the first three that are addresses, of search lists the last."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values and _is_address(values[0]):
            nameservers.append(values[0])
        elif keyword in ("search", "domain"):
            search = tuple(values)
        elif keyword == "options":
            options += values
    return ResolverSettings(tuple(nameservers[:MAX_NAMESERVERS]), search, tuple(options))


def resolver_file(own: ResolverSettings, node: ResolverSettings) -> str:
    """The file of a container that asks `own.nameservers`.

    Where it has no search list or options of its own it has the node's, as the engine gives it, which also has `web`
    asked for before `web.<search domain>` unless an option says otherwise.
    """
    lines = [f"nameserver {address}" for address in own.nameservers[:MAX_NAMESERVERS]]
    search = own.search or node.search
    if search and search != _NO_DOMAIN:
        lines.append(" ".join(("search", *search)))
    options = list(own.options or node.options)
    if not any(option.startswith("ndots:") for option in options):
        options.append("ndots:0")
    lines.append(" ".join(("options", *options)))
    return "".join(f"{line}\n" for line in lines)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
