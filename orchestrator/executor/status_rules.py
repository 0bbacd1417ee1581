"""What an engine's answers say about a task: from Docker's container JSON to `TaskStatus` and `NodeDescription`.

Pure. Messages and error texts are those of moby's `daemon/cluster/executor/container` and swarmkit's `agent/exec`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.model.node import NodeDescription
from orchestrator.model.service import Resources, added_up
from orchestrator.model.task import TaskState, TaskStatus

UNHEALTHY = "dockerexec: unhealthy container"
_HEALTH_NANOSECONDS = 30_000_000_000
_HEALTH_RETRIES = 3
_LIVE_STATES = ("running", "paused", "restarting")


def exit_error(exit_code: int, cause: str = "") -> str:
    """The error text of a container that ended; empty for exit code 0 without a cause."""
    if exit_code == 0:
        return cause
    return f"task: non-zero exit ({exit_code})" + (f": {cause}" if cause else "")


def ended_status(container: Mapping[str, Any], now: float, cause: str = "") -> TaskStatus:
    """COMPLETE or FAILED for the inspected container; a `cause` other than its end makes exit code 0 a failure too."""
    state = container["State"]
    exit_code = int(state.get("ExitCode", 0))
    error = exit_error(exit_code, cause or (state.get("Error", "") if exit_code else ""))
    return TaskStatus(
        state=TaskState.FAILED if error else TaskState.COMPLETE,
        message="started" if error else "finished",
        error=error,
        at=now,
        container_id=container["Id"],
        exit_code=exit_code,
        still_runs=state["Status"] in _LIVE_STATES,
    )


def running_status(container: Mapping[str, Any], now: float) -> TaskStatus:
    """RUNNING, with the process id (0 when it has already ended again) and the host ports in use."""
    return TaskStatus(
        state=TaskState.RUNNING,
        message="started",
        at=now,
        container_id=container["Id"],
        process_id=int(container["State"].get("Pid", 0)),
        host_ports=host_ports(container),
    )


def observed_status(container: Mapping[str, Any], now: float) -> TaskStatus:
    """What the inspected container, in whatever state, says about its task."""
    state = container["State"]["Status"]
    if state in _LIVE_STATES:
        return running_status(container, now)
    if state == "created":
        return TaskStatus(state=TaskState.READY, message="prepared", at=now, container_id=container["Id"])
    return ended_status(container, now)


def has_started(container: Mapping[str, Any]) -> bool:
    """Whether the inspected container was ever started."""
    return bool(container["State"]["Status"] != "created")


def has_ended(container: Mapping[str, Any]) -> bool:
    """Whether the inspected container ran and no longer does."""
    return has_started(container) and container["State"]["Status"] not in _LIVE_STATES


def host_ports(container: Mapping[str, Any]) -> tuple[tuple[str, int, int], ...]:
    """(protocol, target port, published port) of each bound port, in order; IPv4 and IPv6 bindings count once."""
    bound = (container.get("NetworkSettings") or {}).get("Ports") or {}
    found: dict[tuple[str, int, int], None] = {}
    for key in sorted(bound):
        target, _, protocol = key.partition("/")
        for binding in bound[key] or ():
            found[(protocol, int(target), int(binding["HostPort"]))] = None
    return tuple(found)


def has_healthcheck(container: Mapping[str, Any]) -> bool:
    """Whether the inspected container has a healthcheck that is not switched off."""
    test = ((container.get("Config") or {}).get("Healthcheck") or {}).get("Test") or []
    return bool(test) and test[0] != "NONE"


def health_seconds(container: Mapping[str, Any]) -> float:
    """Seconds from the start within which the engine calls the container healthy or not, and one probe to spare.

    Probes that fail count after the start period; then so many in a row decide, each `interval` after the one before
    (Docker's HEALTHCHECK reference, where the defaults stand too).
    """
    check = container["Config"]["Healthcheck"]
    interval, timeout = ((check.get(name) or _HEALTH_NANOSECONDS) / 1e9 for name in ("Interval", "Timeout"))
    return float(
        (check.get("StartPeriod") or 0) / 1e9 + ((check.get("Retries") or _HEALTH_RETRIES) + 2) * (interval + timeout)
    )


def health_of(container: Mapping[str, Any]) -> str:
    """ "starting", "healthy", "unhealthy"; empty without a healthcheck."""
    return str((container["State"].get("Health") or {}).get("Status", ""))


def node_description(info: Mapping[str, Any]) -> NodeDescription:
    """The node as its engine's `/info` describes it."""
    labels = (label.partition("=") for label in info.get("Labels") or ())
    return NodeDescription(
        hostname=info["Name"],
        architecture=info.get("Architecture", ""),
        os=info.get("OSType", "linux"),
        engine_version=info.get("ServerVersion", ""),
        engine_labels=tuple(sorted((key, value) for key, _, value in labels)),
        resources=_resources(info),
        plugins=_plugins(info.get("Plugins") or {}),
    )


def _plugins(plugins: Mapping[str, Sequence[str] | None]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((kind, name) for kind, names in plugins.items() for name in names or ()))


def _resources(info: Mapping[str, Any]) -> Resources:
    """With the generic resources that the engine's operator named in its configuration (`node-generic-resources`)."""
    items = info.get("GenericResources") or ()
    amounts = filter(None, (item.get("DiscreteResourceSpec") for item in items))
    names = filter(None, (item.get("NamedResourceSpec") for item in items))
    return Resources(
        nano_cpus=int(info["NCPU"]) * 1_000_000_000,
        memory_bytes=int(info["MemTotal"]),
        generic=added_up((amount["Kind"], int(amount["Value"])) for amount in amounts),
        named=tuple(sorted((name["Kind"], name["Value"]) for name in names)),
    )
