"""A service as the Docker Engine API wants it, from the arguments of `deploy`. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pytest_swarm.engines.base import PublishMode

Order = Literal["stop-first", "start-first"]
EndpointMode = Literal["vip", "dnsrr"]
Spec = dict[str, Any]

_NANOSECONDS = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Healthcheck:
    """A command that tells whether a task can serve. Times are seconds."""

    test: Sequence[str]
    interval: float = 1.0
    timeout: float = 5.0
    retries: int = 3
    start_period: float = 0.0


@dataclasses.dataclass(frozen=True)
class Deployment:
    """The arguments of `deploy`. Times are seconds; None leaves the choice to the orchestrator."""

    image: str
    name: str
    replicas: int = 3
    publish: Mapping[int, int] = dataclasses.field(default_factory=dict)
    publish_mode: PublishMode = "ingress"
    order: Order = "stop-first"
    parallelism: int = 1
    delay: float = 0.0
    monitor: float | None = None
    stop_grace_period: float | None = None
    command: Sequence[str] | None = None
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    constraints: Sequence[str] = ()
    healthcheck: Healthcheck | None = None
    networks: Sequence[str] = ()
    endpoint_mode: EndpointMode = "vip"


@dataclasses.dataclass(frozen=True)
class UpdatePolicy:
    """How a service is updated. Times are seconds; a monitor of 0 leaves its length to the orchestrator."""

    order: str
    parallelism: int
    delay_seconds: float
    monitor_seconds: float
    failure_action: str
    max_failure_ratio: float


def update_policy(spec: Mapping[str, Any]) -> UpdatePolicy:
    """Read the policy of a service's specification; what it leaves out has the API's defaults."""
    config = spec.get("UpdateConfig") or {}
    return UpdatePolicy(
        order=config.get("Order") or "stop-first",
        parallelism=config.get("Parallelism", 0),
        delay_seconds=config.get("Delay", 0) / _NANOSECONDS,
        monitor_seconds=config.get("Monitor", 0) / _NANOSECONDS,
        failure_action=config.get("FailureAction") or "pause",
        max_failure_ratio=config.get("MaxFailureRatio", 0.0),
    )


def service_spec(deployment: Deployment) -> Spec:
    """Build the body of `POST /services/create`."""
    return {
        "Name": deployment.name,
        "Labels": dict(deployment.labels),
        "TaskTemplate": {
            "ContainerSpec": _container_spec(deployment),
            "Placement": {"Constraints": list(deployment.constraints)},
            **_networks(deployment),
        },
        "Mode": {"Replicated": {"Replicas": deployment.replicas}},
        "UpdateConfig": _update_config(deployment),
        "EndpointSpec": {
            "Mode": deployment.endpoint_mode,
            "Ports": [_port(deployment, *pair) for pair in deployment.publish.items()],
        },
    }


def image_of(spec: Mapping[str, Any]) -> str:
    """The image of the spec's tasks, without the digest that an engine may have added."""
    return str(spec["TaskTemplate"]["ContainerSpec"]["Image"]).partition("@")[0]


def with_image(spec: Mapping[str, Any], image: str) -> Spec:
    """Return the specification with another image."""
    template = spec["TaskTemplate"]
    return {**spec, "TaskTemplate": {**template, "ContainerSpec": {**template["ContainerSpec"], "Image": image}}}


def with_forced_update(spec: Mapping[str, Any]) -> Spec:
    """Return the specification changed just so much that every task is replaced."""
    template = spec["TaskTemplate"]
    return {**spec, "TaskTemplate": {**template, "ForceUpdate": int(template.get("ForceUpdate") or 0) + 1}}


def with_replicas(spec: Mapping[str, Any], replicas: int) -> Spec:
    """Return the specification with another number of replicas."""
    return {**spec, "Mode": {"Replicated": {"Replicas": replicas}}}


def _container_spec(deployment: Deployment) -> Spec:
    spec: Spec = {
        "Image": deployment.image,
        "Env": [f"{name}={value}" for name, value in deployment.env.items()],
    }
    if deployment.command is not None:
        spec["Command"] = list(deployment.command)
    if deployment.stop_grace_period is not None:
        spec["StopGracePeriod"] = _nanoseconds(deployment.stop_grace_period)
    if deployment.healthcheck is not None:
        check = deployment.healthcheck
        spec["Healthcheck"] = {
            "Test": list(check.test),
            "Interval": _nanoseconds(check.interval),
            "Timeout": _nanoseconds(check.timeout),
            "Retries": check.retries,
            "StartPeriod": _nanoseconds(check.start_period),
        }
    return spec


def _update_config(deployment: Deployment) -> Spec:
    config: Spec = {
        "Parallelism": deployment.parallelism,
        "Delay": _nanoseconds(deployment.delay),
        "Order": deployment.order,
        "FailureAction": "pause",
    }
    if deployment.monitor is not None:
        config["Monitor"] = _nanoseconds(deployment.monitor)
    return config


def _port(deployment: Deployment, published: int, target: int) -> Spec:
    return {
        "Protocol": "tcp",
        "PublishedPort": published,
        "TargetPort": target,
        "PublishMode": deployment.publish_mode,
    }


def _nanoseconds(seconds: float) -> int:
    return round(seconds * _NANOSECONDS)


def _networks(deployment: Deployment) -> Spec:
    return {"Networks": [{"Target": network} for network in deployment.networks]} if deployment.networks else {}
