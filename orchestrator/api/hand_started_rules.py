"""Containers started by hand on the cluster's networks: what must be added for them to know its names.

The engine gives such a container a resolver of its own that knows this node's containers only, asks nobody else on
internal networks, and keeps names of one label to itself where an option says so (moby's `libnetwork/resolver.go`). So
the container gets a resolv.conf that names the cluster's name server first, mounted as for a task.

Pure: request body in, request body out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.model.network import AttachedNetwork
from orchestrator.model.resolver_settings import ResolverSettings
from orchestrator.model.subnets import is_ipv4, subnet_of

RESOLVER_TARGET = "/etc/resolv.conf"
_PREDEFINED = ("", "default", "bridge", "host", "none")


def networks_asked(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Names or ids of networks in a container-create request, in order, less those that every engine has."""
    asked = {str(_object(body, "HostConfig").get("NetworkMode", "")), *map(str, _endpoints(body))}
    return tuple(sorted(text for text in asked if text not in _PREDEFINED and not text.startswith("container:")))


def with_network_names(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The request with its networks under other names, as in `names`."""
    changed = dict(body)
    mode = _object(body, "HostConfig").get("NetworkMode", "")
    if mode in names:
        changed["HostConfig"] = {**_object(body, "HostConfig"), "NetworkMode": names[mode]}
    if _endpoints(body):
        endpoints = {names.get(text, text): settings for text, settings in _endpoints(body).items()}
        changed["NetworkingConfig"] = {**_object(body, "NetworkingConfig"), "EndpointsConfig": endpoints}
    return changed


def networks_joined(body: Mapping[str, Any], carried: Sequence[AttachedNetwork]) -> tuple[AttachedNetwork, ...]:
    """The cluster's attachable networks that a container-create request joins, by name or id."""
    asked = set(networks_asked(body))
    return tuple(n for n in carried if n.attachable and n.gateway and not asked.isdisjoint((n.name, n.network_id)))


def wrong_addresses(body: Mapping[str, Any], networks: Sequence[AttachedNetwork]) -> list[str]:
    """What is wrong with the addresses that a container-create request chooses on the networks, as `wrong_address`."""
    shares = {name: network.attachment_range for network in networks for name in (network.name, network.network_id)}
    chosen = ((name, _object(_object(_endpoints(body), name), "IPAMConfig")) for name in _endpoints(body))
    found = (wrong_address(str(ipam.get("IPv4Address") or ""), shares.get(name, "")) for name, ipam in chosen)
    return [problem for problem in found if problem]


def wrong_address(asked: str, share: str) -> str:
    """Why the address cannot be had: it is not in the node's share of the network, and so may be a task's.

    Empty when it can, and also without an address or a share, and for what is no address: the engine answers then.
    """
    if not share or not is_ipv4(asked) or subnet_of(f"{asked}/32").subnet_of(subnet_of(share)):
        return ""
    return f"address {asked} is not one of this node's on the network: choose from {share}"


def has_own_resolver(body: Mapping[str, Any]) -> bool:
    """Whether the user mounts a resolv.conf: then that is the one."""
    host = _object(body, "HostConfig")
    binds = [str(bind).split(":") for bind in _list(host, "Binds")]
    targets = [parts[1] for parts in binds if len(parts) > 1]
    targets += [str(mount.get("Target")) for mount in _list(host, "Mounts") if isinstance(mount, dict)]
    return RESOLVER_TARGET in targets


def resolver_settings(body: Mapping[str, Any], networks: Sequence[AttachedNetwork]) -> ResolverSettings:
    """How the container asks: our servers, then those the user gave, should ours not answer; the user's settings."""
    host = _object(body, "HostConfig")
    servers = [*(network.gateway for network in networks), *map(str, _list(host, "Dns"))]
    search, options = map(str, _list(host, "DnsSearch")), map(str, _list(host, "DnsOptions"))
    return ResolverSettings(tuple(servers), tuple(search), tuple(options))


def lost_settings(body: Mapping[str, Any], networks: Sequence[AttachedNetwork]) -> list[str]:
    """A warning for each thing the request asks for that a container on these networks of the cluster does not get."""
    found = [
        f"network-scoped aliases are not supported on network {text}: containers started by hand have no names there"
        for text, settings in _endpoints(body).items()
        if isinstance(settings, dict)
        and settings.get("Aliases")
        and any(text in (network.name, network.network_id) for network in networks)
    ]
    if has_own_resolver(body):
        return found
    joined = [network.name for network in networks]
    if servers := _list(_object(body, "HostConfig"), "Dns"):
        found.append(
            f"DNS servers {', '.join(map(str, servers))} are asked only if the name server of network {joined[0]} "
            "does not answer, which asks the node's"
        )
    known = {text for network in networks for text in (network.name, network.network_id)}
    found += [
        f"names of containers on network {text} are not resolved in a container that is on network {joined[0]}, too"
        for text in networks_asked(body)
        if text not in known
    ]
    return found


def with_resolver(body: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The request with the file at that path of the node as the container's resolv.conf.

    Read-only: other containers have the same file.
    """
    host = dict(_object(body, "HostConfig"))
    mount = {"Type": "bind", "Source": path, "Target": RESOLVER_TARGET, "ReadOnly": True}
    if isinstance(host.get("Mounts"), list | None):
        host["Mounts"] = [*_list(host, "Mounts"), mount]
    return {**body, "HostConfig": host}


# What is of another type than Docker's is left out here, and refused by the engine, which gets it all the same.


def _list(body: Mapping[str, Any], key: str) -> list[Any]:
    value = body.get(key)
    return list(value) if isinstance(value, list) else []


def _endpoints(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return _object(_object(body, "NetworkingConfig"), "EndpointsConfig")


def _object(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return value if isinstance(value, dict) else {}
