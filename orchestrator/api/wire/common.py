"""Shapes that several of Docker's objects share."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

_ACRONYMS = {
    "ca": "CA",
    "cas": "CAs",
    "cpus": "CPUs",
    "dns": "DNS",
    "gid": "GID",
    "id": "ID",
    "ipam": "IPAM",
    "ips": "IPs",
    "os": "OS",
    "pid": "PID",
    "tls": "TLS",
    "tty": "TTY",
    "uid": "UID",
}


def docker_name(name: str) -> str:
    """Docker's spelling of a field: "nano_cpus" is "NanoCPUs"; "global_" (a keyword otherwise) is "Global"."""
    return "".join(_ACRONYMS.get(word, word.capitalize()) for word in name.rstrip("_").split("_"))


class WireObject(Struct, rename=docker_name, omit_defaults=True, kw_only=True):
    """Base of all: fields are written under Docker's names, and not at all where they hold their default."""


Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Go's integer: a larger one is refused where it enters."""
UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1, title="uint32")]
UInt64 = Annotated[int, Meta(ge=0, le=2**63 - 1, title="uint64")]
"""Go's unsigned integers, by Go's names: let one negative number in and no client written in Go reads our lists."""
JSONObject = dict[str, Any]
StringMap = dict[str, str]


class Version(WireObject):
    """How often the cluster changed until the object last did."""

    index: Int64 = 0


class Driver(WireObject):
    """A log, network or volume driver."""

    name: str = ""
    options: StringMap = field(default_factory=dict)


class Platform(WireObject):
    """A machine's kind."""

    architecture: str = ""
    os: str = ""


class PortConfig(WireObject):
    """A published port."""

    name: str = ""
    protocol: str = ""
    target_port: UInt32 = 0
    published_port: UInt32 = 0
    publish_mode: str = ""


class NamedResource(WireObject):
    """One resource with an identity, such as a certain GPU."""

    kind: str = ""
    value: str = ""


class DiscreteResource(WireObject):
    """A number of like resources."""

    kind: str = ""
    value: Int64 = 0


class GenericResource(WireObject):
    """Either of the two."""

    named_resource_spec: NamedResource | None = None
    discrete_resource_spec: DiscreteResource | None = None


GenericResources = tuple[GenericResource, ...]


class Resources(WireObject):
    """What a node has or a task reserves."""

    nano_cpus: Int64 = 0
    memory_bytes: Int64 = 0
    generic_resources: GenericResources = ()


class TLSInfo(WireObject):
    """The cluster's certificate authority; the last two in base64."""

    trust_root: str = ""
    cert_issuer_subject: str = ""
    cert_issuer_public_key: str = ""
