"""Where a task may run: one filter per reason, each able to say in swarm mode's words why nodes were refused."""

import json
from dataclasses import dataclass
from typing import Protocol

from orchestrator.control.constraints import node_matches
from orchestrator.control.scheduler.node_load import NodeLoad, host_ports
from orchestrator.model.service import Placement
from orchestrator.model.task import Task

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}


class Filter(Protocol):
    """One reason to refuse a node."""

    def admits(self, load: NodeLoad, task: Task) -> bool:
        """Whether this reason leaves the node in."""
        ...

    def explain(self, nodes: int) -> str:
        """Why `nodes` nodes were refused."""
        ...


def _on_nodes(text: str, nodes: int) -> str:
    return f"{text} on {nodes} node{'' if nodes == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class ReadyFilter:
    """Up, and open for new tasks."""

    def admits(self, load: NodeLoad, task: Task) -> bool:
        """Whether the node is READY and active."""
        return load.node.accepts_tasks

    def explain(self, nodes: int) -> str:
        """Swarmkit's words."""
        return f"{nodes} node{'' if nodes == 1 else 's'} not available for new tasks"


@dataclass(frozen=True, slots=True)
class ResourceFilter:
    """Enough left of what the task reserves."""

    def admits(self, load: NodeLoad, task: Task) -> bool:
        """Whether CPU, memory and generic resources suffice."""
        wanted = task.spec.reservations
        if wanted is None:
            return True
        has = load.node.description.resources
        return (
            load.reserved_nano_cpus + wanted.nano_cpus <= has.nano_cpus
            and load.reserved_memory_bytes + wanted.memory_bytes <= has.memory_bytes
            and all(load.free_generic(kind) >= count for kind, count in wanted.generic)
            # Swarm mode takes a reservation of a certain resource and has no node that fits it.
            and not wanted.named
        )

    def explain(self, nodes: int) -> str:
        """Swarmkit's words."""
        return _on_nodes("insufficient resources", nodes)


@dataclass(frozen=True, slots=True)
class PluginFilter:
    """The node's engine has the log driver and the volume drivers."""

    def admits(self, load: NodeLoad, task: Task) -> bool:
        """Whether all of them are there; an engine that names no log driver at all is taken to have it."""
        logs = _plugins(load, "Log")
        return (not logs or _log_drivers(task) <= logs) and _volume_drivers(task) <= _plugins(load, "Volume")

    def explain(self, nodes: int) -> str:
        """Swarmkit's words."""
        return _on_nodes("missing plugin", nodes)


@dataclass(frozen=True, slots=True)
class ConstraintFilter:
    """The placement constraints."""

    def admits(self, load: NodeLoad, task: Task) -> bool:
        """Whether the node meets all of them."""
        return task.spec.placement is None or node_matches(load.node, task.spec.placement.constraints)

    def explain(self, nodes: int) -> str:
        """Swarmkit's words."""
        return _on_nodes("scheduling constraints not satisfied", nodes)


@dataclass(frozen=True, slots=True)
class PlatformFilter:
    """The image exists for the node's architecture and operating system."""

    def admits(self, load: NodeLoad, task: Task) -> bool:
        """Whether one of the image's platforms is the node's; an image that names none fits all."""
        platforms = (task.spec.placement or Placement()).platforms
        if not platforms:
            return True
        here = (_architecture(load.node.description.architecture), load.node.description.os.lower())
        return any(
            (not arch or _architecture(arch) == here[0]) and (not system or system.lower() == here[1])
            for arch, system in platforms
        )

    def explain(self, nodes: int) -> str:
        """Swarmkit's words."""
        return _on_nodes("unsupported platform", nodes)


@dataclass(frozen=True, slots=True)
class HostPortFilter:
    """Its host-mode ports are free."""

    def admits(self, load: NodeLoad, task: Task) -> bool:
        """Whether no other task holds one of them on the node."""
        return not any(port in load.host_ports for port in host_ports(task))

    def explain(self, nodes: int) -> str:
        """Swarmkit's words."""
        return _on_nodes("host-mode port already in use", nodes)


@dataclass(frozen=True, slots=True)
class MaxReplicasFilter:
    """`--replicas-max-per-node`."""

    def admits(self, load: NodeLoad, task: Task) -> bool:
        """Whether the node may take one more of the service."""
        limit = (task.spec.placement or Placement()).max_replicas
        return not limit or load.by_service.get(task.service_id, 0) < limit

    def explain(self, nodes: int) -> str:
        """Swarmkit's words."""
        return "max replicas per node limit exceed"


FILTERS: tuple[Filter, ...] = (
    ReadyFilter(),
    ResourceFilter(),
    PluginFilter(),
    ConstraintFilter(),
    PlatformFilter(),
    HostPortFilter(),
    MaxReplicasFilter(),
)
"""In swarmkit's order: a node is refused by the first that does not admit it."""


def _architecture(name: str) -> str:
    return _ARCHITECTURES.get(name.lower(), name.lower())


def _plugins(load: NodeLoad, kind: str) -> set[str]:
    return {_plain(name) for of_kind, name in load.node.description.plugins if of_kind == kind}


def _log_drivers(task: Task) -> set[str]:
    driver = task.spec.log_driver
    return {_plain(driver.name)} - {"", "none"} if driver is not None else set()


def _volume_drivers(task: Task) -> set[str]:
    volumes = (mount for mount in task.spec.container.mounts if mount.type == "volume")
    options = (json.loads(mount.options) for mount in volumes if mount.options)
    return {_plain((each.get("DriverConfig") or {}).get("Name") or "") for each in options} - {"", "local"}


def _plain(plugin: str) -> str:
    """An installed plugin is listed with its tag and asked for without."""
    return plugin.removesuffix(":latest")
