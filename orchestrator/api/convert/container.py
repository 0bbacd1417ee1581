"""What a container is made of, between Docker's JSON and the model."""

import base64
import binascii
import json
from typing import TypeVar

import msgspec

from orchestrator.api.convert.units import (
    labels,
    nanoseconds,
    seconds,
    where_given,
)
from orchestrator.api.errors import BadRequest
from orchestrator.api.wire import service as wire
from orchestrator.api.wire.common import JSONObject, WireObject
from orchestrator.model.container import ContainerSpec, DNSConfig, FileReference, HealthConfig, Mount, Ulimit

_MOUNT_OPTIONS = {
    "bind": "BindOptions",
    "volume": "VolumeOptions",
    "tmpfs": "TmpfsOptions",
    "cluster": "ClusterOptions",
    "npipe": "",
}
"""Mount type -> the only options it takes."""
_PROPAGATIONS = ("", "private", "rprivate", "shared", "rshared", "slave", "rslave")
_SECCOMP_MODES = ("", "default", "unconfined", "custom")
_APP_ARMOR_MODES = ("", "default", "disabled")
_Options = TypeVar("_Options")


def container_from_wire(container: wire.ContainerSpec) -> ContainerSpec:
    """A container spec. Raises `BadRequest` for what only its form can show to be wrong."""
    return ContainerSpec(
        image=container.image,
        labels=labels(container.labels),
        command=container.command,
        args=container.args,
        hostname=container.hostname,
        env=container.env,
        directory=container.dir,
        user=container.user,
        groups=container.groups,
        privileges=_as_text(where_given(_checked_privileges, container.privileges)),
        tty=container.tty,
        open_stdin=container.open_stdin,
        read_only=container.read_only,
        mounts=tuple(_mount_from_wire(mount) for mount in container.mounts),
        stop_signal=container.stop_signal,
        stop_grace_period=where_given(seconds, container.stop_grace_period),
        healthcheck=where_given(_health_from_wire, container.healthcheck),
        hosts=container.hosts,
        dns=where_given(_dns_from_wire, container.dns_config),
        secrets=tuple(_secret_from_wire(secret) for secret in container.secrets),
        configs=tuple(_config_from_wire(config) for config in container.configs),
        isolation="" if container.isolation == "default" else container.isolation,
        init=container.init,
        sysctls=labels(container.sysctls),
        capability_add=container.capability_add,
        capability_drop=container.capability_drop,
        ulimits=tuple(Ulimit(name=limit.name, soft=limit.soft, hard=limit.hard) for limit in container.ulimits),
        oom_score_adj=container.oom_score_adj,
    )


def container_to_wire(container: ContainerSpec) -> wire.ContainerSpec:
    """A container spec; registry credentials stay behind."""
    return wire.ContainerSpec(
        image=container.image,
        labels=dict(container.labels),
        command=container.command,
        args=container.args,
        hostname=container.hostname,
        env=container.env,
        dir=container.directory,
        user=container.user,
        groups=container.groups,
        privileges=_as_object(container.privileges, wire.Privileges),
        init=container.init,
        stop_signal=container.stop_signal,
        tty=container.tty,
        open_stdin=container.open_stdin,
        read_only=container.read_only,
        mounts=tuple(_mount_to_wire(mount) for mount in container.mounts),
        stop_grace_period=where_given(nanoseconds, container.stop_grace_period),
        healthcheck=where_given(_health_to_wire, container.healthcheck),
        hosts=container.hosts,
        dns_config=where_given(_dns_to_wire, container.dns),
        secrets=tuple(_secret_to_wire(secret) for secret in container.secrets),
        configs=tuple(_config_to_wire(config) for config in container.configs),
        isolation=container.isolation or "default",
        sysctls=dict(container.sysctls),
        capability_add=container.capability_add,
        capability_drop=container.capability_drop,
        ulimits=tuple(wire.Ulimit(name=limit.name, hard=limit.hard, soft=limit.soft) for limit in container.ulimits),
        oom_score_adj=container.oom_score_adj,
    )


def _as_text(value: WireObject | JSONObject | None) -> str:
    # Sorted, so that the same settings are the same text whatever the client's order: a template is compared by it.
    return "" if value is None else json.dumps(msgspec.to_builtins(value), sort_keys=True, separators=(",", ":"))


def _as_object(text: str, kind: type[_Options]) -> _Options | None:
    return msgspec.convert(json.loads(text), kind) if text else None


def _checked_privileges(privileges: wire.Privileges) -> wire.Privileges:
    seccomp, app_armor = privileges.seccomp, privileges.app_armor
    if seccomp:
        if seccomp.mode not in _SECCOMP_MODES:
            raise BadRequest(f'invalid Seccomp mode: "{seccomp.mode}"')
        try:
            base64.b64decode(seccomp.profile, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise BadRequest("invalid Seccomp profile: not base64-encoded text") from error
    if app_armor and app_armor.mode not in _APP_ARMOR_MODES:
        raise BadRequest(f'invalid AppArmor mode: "{app_armor.mode}"')
    return privileges


def _mount_from_wire(mount: wire.Mount) -> Mount:
    if mount.type and mount.type not in _MOUNT_OPTIONS:
        raise BadRequest(f'invalid MountType: "{mount.type}"')
    kind = mount.type or "bind"
    given: dict[str, WireObject | JSONObject | None] = {
        "BindOptions": mount.bind_options,
        "VolumeOptions": mount.volume_options,
        "TmpfsOptions": mount.tmpfs_options,
        "ClusterOptions": mount.cluster_options,
    }
    if mount.bind_options and mount.bind_options.propagation not in _PROPAGATIONS:
        raise BadRequest(f'invalid MountPropagation: "{mount.bind_options.propagation}"')
    options = given.pop(_MOUNT_OPTIONS[kind], None)
    for name, other in given.items():
        if other is not None:
            raise BadRequest(f"invalid mount config for type {kind!r}: {name} must not be specified")
    return Mount(
        type=kind,
        target=mount.target,
        source=mount.source,
        read_only=mount.read_only,
        consistency=mount.consistency,
        options=_as_text(options),
    )


def _mount_to_wire(mount: Mount) -> wire.Mount:
    text = {mount.type: mount.options}
    return wire.Mount(
        type=mount.type,
        source=mount.source,
        target=mount.target,
        read_only=mount.read_only,
        consistency=mount.consistency,
        bind_options=_as_object(text.get("bind", ""), wire.BindOptions),
        volume_options=_as_object(text.get("volume", ""), wire.VolumeOptions),
        tmpfs_options=_as_object(text.get("tmpfs", ""), wire.TmpfsOptions),
        cluster_options=_as_object(text.get("cluster", ""), JSONObject),
    )


def _health_from_wire(health: wire.HealthConfig) -> HealthConfig:
    return HealthConfig(
        test=health.test,
        interval=seconds(health.interval) if health.interval else None,
        timeout=seconds(health.timeout) if health.timeout else None,
        start_period=seconds(health.start_period) if health.start_period else None,
        start_interval=seconds(health.start_interval) if health.start_interval else None,
        retries=health.retries or None,
    )


def _health_to_wire(health: HealthConfig) -> wire.HealthConfig:
    return wire.HealthConfig(
        test=health.test,
        interval=nanoseconds(health.interval or 0),
        timeout=nanoseconds(health.timeout or 0),
        start_period=nanoseconds(health.start_period or 0),
        start_interval=nanoseconds(health.start_interval or 0),
        retries=health.retries or 0,
    )


def _dns_from_wire(dns: wire.DNSConfig) -> DNSConfig:
    return DNSConfig(nameservers=dns.nameservers, search=dns.search, options=dns.options)


def _dns_to_wire(dns: DNSConfig) -> wire.DNSConfig:
    return wire.DNSConfig(nameservers=dns.nameservers, search=dns.search, options=dns.options)


def _secret_from_wire(secret: wire.SecretReference) -> FileReference:
    if secret.file is None:
        raise BadRequest("malformed secret reference, no target provided")
    return _mounted(secret.secret_id, secret.secret_name, secret.file)


def _config_from_wire(config: wire.ConfigReference) -> FileReference:
    if config.runtime is not None and config.file is not None:
        raise BadRequest("invalid Config: cannot specify both File and Runtime")
    if config.runtime is not None:
        return FileReference(config.config_id, config.config_name, target="", runtime=True)
    if config.file is None:
        raise BadRequest("invalid Config: either File or Runtime should be set")
    return _mounted(config.config_id, config.config_name, config.file)


def _mounted(object_id: str, object_name: str, file: wire.FileTarget) -> FileReference:
    return FileReference(object_id, object_name, target=file.name, uid=file.uid, gid=file.gid, mode=file.mode)


def _secret_to_wire(secret: FileReference) -> wire.SecretReference:
    return wire.SecretReference(file=_file_target(secret), secret_id=secret.object_id, secret_name=secret.object_name)


def _config_to_wire(config: FileReference) -> wire.ConfigReference:
    return wire.ConfigReference(
        file=None if config.runtime else _file_target(config),
        runtime={} if config.runtime else None,
        config_id=config.object_id,
        config_name=config.object_name,
    )


def _file_target(reference: FileReference) -> wire.FileTarget:
    return wire.FileTarget(name=reference.target, uid=reference.uid, gid=reference.gid, mode=reference.mode)
