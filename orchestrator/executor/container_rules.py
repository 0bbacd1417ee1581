"""What a task asks of a container engine: from a `Task` to the body of Docker's container-create call.

Pure: the same task and node always give the same body. Mirrors what moby's `daemon/cluster/executor/container`
derives from a task, so that `docker inspect` on a node shows what swarm mode would show. It must not talk to an engine.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.executor.task_files_rules import mounts_of
from orchestrator.model.container import ContainerSpec, DNSConfig, HealthConfig, Mount
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.node import NodeDescription
from orchestrator.model.resolver_settings import ResolverSettings
from orchestrator.model.service import LogDriver, PortConfig, PublishMode, TaskSpec
from orchestrator.model.task import NetworkAttachment, Task
from orchestrator.model.templates import expand_container

JSONObject = dict[str, Any]

LABEL_TASK_ID = "com.docker.swarm.task.id"
"""Every container of ours carries it: what `DockerEngine.tasks` finds them by."""

LABEL_NETWORK_ID = "com.docker.swarm.network.id"
"""Every bridge network of ours carries it."""

FILES_DIRECTORY = "/run/swarm/task-files"
"""Where a node keeps its tasks' secrets and configs, in memory."""

_RESOLVER_TARGET = "/etc/resolv.conf"
_OPTIONS_FIELD = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions"}


def bridge_network_name(network_id: str) -> str:
    """The inner engine's name of a cluster network's bridge, where the network's own name is not to be seen."""
    return f"swarm-{network_id}"


def create_body(
    task: Task,
    node: NodeDescription,
    nameservers: tuple[str, ...] = (),
    files_directory: str = FILES_DIRECTORY,
    resolver_file: str = "",
    network_name: Callable[[str], str] = bridge_network_name,
) -> JSONObject:
    """The JSON body of `POST /containers/create` for the task on that node.

    `nameservers` are asked before those of the service's own DNS settings; `files_directory` holds the secrets and
    configs of all tasks; `resolver_file` is what the container has as /etc/resolv.conf, "" leaves that to the engine;
    `network_name` gives the engine's name of a cluster network.
    Raises `InvalidArgument` when the task cannot be expressed: a bad template, malformed options.
    """
    container = expand_container(task, node)
    host_ports = tuple(port for port in task.ports if port.publish_mode is PublishMode.HOST)
    body: JSONObject = {
        "Image": container.image,
        "Hostname": container.hostname,
        "Env": [*container.env, *_claimed(task)],
        "User": container.user,
        "WorkingDir": container.directory,
        "Tty": container.tty,
        "OpenStdin": container.open_stdin,
        "Labels": dict(container.labels) | _system_labels(task),
        "ExposedPorts": {_port_key(port): {} for port in host_ports},
        "HostConfig": _host_config(task, container, host_ports, nameservers, files_directory, resolver_file)
        | {"NetworkMode": network_name(task.attachments[0].network_id) if task.attachments else "default"},
        "NetworkingConfig": {"EndpointsConfig": _first_endpoint(task, network_name)},
    }
    if container.args:
        body["Cmd"] = list(container.args)
    if container.command:
        body["Entrypoint"] = list(container.command)
    if container.stop_signal:
        body["StopSignal"] = container.stop_signal
    if container.healthcheck is not None:
        body["Healthcheck"] = _healthcheck(container.healthcheck)
    return body


def endpoint_settings(attachment: NetworkAttachment) -> JSONObject:
    """Docker's EndpointSettings of a task's place on a network.

    The address is always given: the engine's own choice could be another node's. Aliases are left out on purpose: the
    engine's resolver would answer them with this node's tasks alone, ready or not, before the cluster's DNS is asked.
    """
    return {"IPAMConfig": {"IPv4Address": attachment.address}} if attachment.address else {}


def _claimed(task: Task) -> list[str]:
    """Variables that name the generic resources the task may use, as swarmkit's `genericresource.EnvFormat`."""
    by_kind: dict[str, list[str]] = {}
    for kind, value in task.claims:
        by_kind.setdefault(kind, []).append(value)
    return [f"DOCKER_RESOURCE_{kind.upper()}={','.join(values)}" for kind, values in by_kind.items()]


def _system_labels(task: Task) -> dict[str, str]:
    return {
        "com.docker.swarm.node.id": task.node_id,
        "com.docker.swarm.service.id": task.service_id,
        "com.docker.swarm.service.name": task.service_name,
        "com.docker.swarm.task": "",
        LABEL_TASK_ID: task.id,
        "com.docker.swarm.task.name": task.container_name,
    }


def _host_config(
    task: Task,
    container: ContainerSpec,
    host_ports: tuple[PortConfig, ...],
    nameservers: tuple[str, ...],
    files_directory: str,
    resolver_file: str,
) -> JSONObject:
    config: JSONObject = {
        "RestartPolicy": {"Name": "no"},
        "Mounts": [
            *(_mount(mount) for mount in container.mounts),
            *mounts_of(task, files_directory),
            *_resolver_mount(container, resolver_file),
        ],
        "PortBindings": _port_bindings(host_ports),
        "CapAdd": list(container.capability_add),
        "CapDrop": list(container.capability_drop),
        "Sysctls": dict(container.sysctls),
        "Ulimits": [{"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard} for limit in container.ulimits],
        "ReadonlyRootfs": container.read_only,
        "ExtraHosts": _extra_hosts(container.hosts),
        "OomScoreAdj": container.oom_score_adj,
        "GroupAdd": list(container.groups),
        "SecurityOpt": _security_options(container.privileges),
        **_dns(container, nameservers),
        **_resources(task.spec),
        **_log_config(task.spec.log_driver),
    }
    if container.init is not None:
        config["Init"] = container.init
    return config


def _first_endpoint(task: Task, network_name: Callable[[str], str]) -> JSONObject:
    """Engines before API 1.44 accept one network at creation; the others are connected afterwards."""
    return {network_name(item.network_id): endpoint_settings(item) for item in task.attachments[:1]}


def _port_key(port: PortConfig) -> str:
    return f"{port.target_port}/{port.protocol}"


def _port_bindings(host_ports: tuple[PortConfig, ...]) -> JSONObject:
    bindings: dict[str, list[JSONObject]] = {}
    for port in host_ports:
        host_port = str(port.published_port) if port.published_port else ""
        bindings.setdefault(_port_key(port), []).append({"HostPort": host_port})
    return bindings


def _healthcheck(check: HealthConfig) -> JSONObject:
    durations = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
    }
    body: JSONObject = {name: round(value * 1e9) for name, value in durations.items() if value is not None}
    if check.test:
        body["Test"] = list(check.test)
    if check.retries is not None:
        body["Retries"] = check.retries
    return body


def _mount(mount: Mount) -> JSONObject:
    body: JSONObject = {
        "Type": mount.type,
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
    }
    if mount.consistency:
        body["Consistency"] = mount.consistency
    if mount.options:
        body[_OPTIONS_FIELD.get(mount.type, "BindOptions")] = _parse_object(mount.options, "mount options")
    return body


def _resources(spec: TaskSpec) -> JSONObject:
    """The limits; what is reserved is the scheduler's business, as in swarm mode."""
    if spec.limits is None:
        return {}
    return {
        "Memory": spec.limits.memory_bytes,
        "NanoCpus": spec.limits.nano_cpus,
        "PidsLimit": spec.limits.pids,
    }


def _dns(container: ContainerSpec, nameservers: tuple[str, ...]) -> JSONObject:
    dns = container.dns
    return {
        "Dns": [*nameservers, *(dns.nameservers if dns else ())],
        "DnsSearch": list(dns.search) if dns else [],
        "DnsOptions": list(dns.options) if dns else [],
    }


def resolver_settings(task: Task, nameservers: tuple[str, ...]) -> ResolverSettings:
    """How a task asks the cluster's name servers.

    The service's own nameservers are not among them: a C library that gets no answer from ours in time would ask them
    for the cluster's names. Ours asks them instead, for names outside the cluster.
    """
    dns = task.spec.container.dns or DNSConfig()
    return ResolverSettings(nameservers, dns.search, dns.options)


def _resolver_mount(container: ContainerSpec, resolver_file: str) -> list[JSONObject]:
    if not resolver_file or any(mount.target == _RESOLVER_TARGET for mount in container.mounts):
        return []
    return [{"Type": "bind", "Source": resolver_file, "Target": _RESOLVER_TARGET}]


def _extra_hosts(hosts: tuple[str, ...]) -> list[str]:
    """From swarm mode's "address name [name...]" to the engine's "name:address"; as there, an empty one is none."""
    fields = (entry.split() for entry in hosts if entry.strip())
    return [f"{name}:{address}" for address, *names in fields for name in names]


def _log_config(driver: LogDriver | None) -> JSONObject:
    if driver is None or not (driver.name or driver.options):
        return {}
    return {"LogConfig": {"Type": driver.name, "Config": dict(driver.options)}}


def _security_options(privileges: str) -> list[str]:
    """The engine's SecurityOpt list of Docker's Privileges object, given as JSON text."""
    if not privileges:
        return []
    asked = _parse_object(privileges, "privileges")
    options = [*_selinux_options(asked.get("SELinuxContext") or {}), *_seccomp_options(asked.get("Seccomp") or {})]
    if (asked.get("AppArmor") or {}).get("Mode") == "disabled":
        options.append("apparmor=unconfined")
    if asked.get("NoNewPrivileges"):
        options.append("no-new-privileges=true")
    return options


def _selinux_options(context: Mapping[str, Any]) -> list[str]:
    if context.get("Disable"):
        return ["label=disable"]
    fields = (("User", "user"), ("Role", "role"), ("Type", "type"), ("Level", "level"))
    return [f"label={name}:{context[field]}" for field, name in fields if context.get(field)]


def _seccomp_options(seccomp: Mapping[str, Any]) -> list[str]:
    if seccomp.get("Mode") == "unconfined":
        return ["seccomp=unconfined"]
    if seccomp.get("Mode") != "custom":
        return []
    try:
        profile = base64.b64decode(seccomp.get("Profile") or "", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError) as error:
        raise InvalidArgument("privileges: the seccomp profile is not base64-encoded text") from error
    return [f"seccomp={profile}"]


def _parse_object(text: str, what: str) -> JSONObject:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid {what}: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgument(f"invalid {what}: not a JSON object")
    return value
