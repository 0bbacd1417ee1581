"""Whether what a service asks of its containers makes sense in itself, whatever the cluster's state.

Behaves as swarmkit's `manager/controlapi/service.go` (`validateContainerSpec`, `validateSecretRefsSpec`), message by
message. Pure.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from orchestrator.model.container import ContainerSpec, DNSConfig, FileReference, HealthConfig, Mount
from orchestrator.model.errors import InvalidArgument, NotSupported

MAX_IMAGE_LENGTH = 1024
"""Beyond what a reference may have in all its parts: a host, a repository, a tag of 128 characters, a digest."""
MAX_REPOSITORY_LENGTH = 255
"""distribution's `RepositoryNameTotalLengthMax`."""
MIN_HEALTH_DURATION_S = 0.001

# The grammar of an image reference, by distribution's `reference/regexp.go`, in the form users write.
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_IMAGE = re.compile(
    rf"(?:{_DOMAIN}/)?(?P<repository>{_PATH_PART}(?:/{_PATH_PART})*)"
    r"(?::\w[\w.-]{0,127})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


def validate_references(container: ContainerSpec) -> None:
    """Raise `InvalidArgument` with the first secret or config that is not named in full, or that meets another."""
    _validate_references("secret", container.secrets)
    _validate_references("config", container.configs)


def _validate_references(kind: str, references: Iterable[FileReference]) -> None:
    targets: dict[str, str] = {}
    for reference in references:
        if not reference.object_id or not reference.object_name:
            raise InvalidArgument(f"malformed {kind} reference")
        if reference.runtime:
            continue
        if not reference.target:
            raise InvalidArgument(f"malformed file {kind} reference, invalid target file name provided")
        if reference.target in targets:
            raise InvalidArgument(
                f"{kind} references '{targets[reference.target]}' and '{reference.object_name}' "
                f"have a conflicting target: '{reference.target}'"
            )
        targets[reference.target] = reference.object_name


def validate_container(container: ContainerSpec) -> None:
    """Raise `InvalidArgument` with the first thing wrong with a container whose templates are filled in, and
    `NotSupported` for what would be ignored."""
    if not container.image:
        raise InvalidArgument("ContainerSpec: image reference must be provided")
    _validate_image(container.image)
    if container.stop_grace_period is not None and container.stop_grace_period < 0:
        raise InvalidArgument("ContainerSpec: stop-grace-period cannot be negative")
    _refuse_unsupported(container)
    _validate_mounts(container.mounts)
    _validate_healthcheck(container.healthcheck)
    if container.dns is not None:
        _validate_dns(container.dns)


def _validate_image(image: str) -> None:
    reference = _IMAGE.fullmatch(image) if len(image) <= MAX_IMAGE_LENGTH else None
    if reference is None or len(reference["repository"]) > MAX_REPOSITORY_LENGTH or _IMAGE_ID.fullmatch(image):
        raise InvalidArgument(f'ContainerSpec: "{image}" is not a valid repository/tag')


def _validate_dns(dns: DNSConfig) -> None:
    """What the CLI checks (`opts.ValidateIPAddress`), and that nothing ends its line in the resolver's file."""
    for nameserver in dns.nameservers:
        try:
            ip_address(nameserver)
        except ValueError:
            raise InvalidArgument(f"ContainerSpec: {nameserver} is not an ip address") from None
    for domain in dns.search:
        if not domain.isprintable() or " " in domain:
            raise InvalidArgument(f"ContainerSpec: {domain!r} is not a valid domain")
    for option in dns.options:
        if not option.isprintable():
            raise InvalidArgument(f"ContainerSpec: {option!r} is not a valid DNS option")


def _refuse_unsupported(container: ContainerSpec) -> None:
    """What swarm mode has and these nodes do not: refused, because ignored it would only fail later or mislead."""
    if container.isolation:
        raise NotSupported(f"isolation '{container.isolation}' is not supported: the nodes run Linux")
    if '"CredentialSpec":{' in container.privileges or any(config.runtime for config in container.configs):
        raise NotSupported("credential specs are not supported: the nodes run Linux")
    for mount in container.mounts:
        if mount.type == "cluster":
            raise NotSupported("mounts of type 'cluster' are not supported: this swarm has no CSI volumes")
        if mount.type == "npipe":
            raise NotSupported("mounts of type 'npipe' are not supported: the nodes run Linux")


def _validate_mounts(mounts: Iterable[Mount]) -> None:
    targets: set[str] = set()
    for mount in mounts:
        if not mount.target:
            raise InvalidArgument("ContainerSpec: mount target must be provided")
        if mount.target in targets:
            raise InvalidArgument(f"ContainerSpec: duplicate mount point: {mount.target}")
        targets.add(mount.target)


def _validate_healthcheck(health: HealthConfig | None) -> None:
    if health is None:
        return
    durations = {
        "Interval": health.interval,
        "Timeout": health.timeout,
        "StartPeriod": health.start_period,
        "StartInterval": health.start_interval,
    }
    for name, duration in durations.items():
        if duration and duration < MIN_HEALTH_DURATION_S:
            raise InvalidArgument(f"ContainerSpec: {name} in HealthConfig cannot be less than 1ms")
    if health.retries is not None and health.retries < 0:
        raise InvalidArgument("ContainerSpec: Retries in HealthConfig cannot be negative")
