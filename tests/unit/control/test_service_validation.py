"""What a service spec may say, in swarmkit's words where it may not."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.control.service_validation import validate_service
from orchestrator.model.container import ContainerSpec, DNSConfig, FileReference, HealthConfig, Mount
from orchestrator.model.errors import BadConstraint, InvalidArgument, NotSupported
from orchestrator.model.service import (
    EndpointMode,
    EndpointSpec,
    NetworkReference,
    Placement,
    PortConfig,
    PublishMode,
    Resources,
    RestartPolicy,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)

SPEC = ServiceSpec("web", TaskSpec(ContainerSpec("nginx:1")))


def with_task(**changes: Any) -> ServiceSpec:
    return replace(SPEC, task=replace(SPEC.task, **changes))


def with_container(**changes: Any) -> ServiceSpec:
    return with_task(container=replace(SPEC.task.container, **changes))


def with_ports(*ports: PortConfig, mode: EndpointMode = EndpointMode.VIP) -> ServiceSpec:
    return replace(SPEC, endpoint=EndpointSpec(mode, ports))


@pytest.mark.parametrize(
    "image",
    [
        "nginx",
        "nginx:1",
        "library/nginx",
        "localhost:5000/team/web_app:v1.2-rc_3",
        "registry.example.com/a/b/c",
        "busybox@sha256:" + "0" * 64,
        "busybox:1@sha256:" + "0" * 64,
        "[::1]:5000/x",
        "EXAMPLE.com/x",
    ],
)
def test_images_that_are_fine(image: str) -> None:
    validate_service(with_container(image=image))


@pytest.mark.parametrize(
    "image", ["NGINX", "a b", ":1", "nginx:", "nginx@sha256:12", "-x", "x//y", "http://x/y", "a" * 256, "0f" * 32]
)
def test_images_that_are_not(image: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        validate_service(with_container(image=image))
    assert str(refused.value) == f'ContainerSpec: "{image}" is not a valid repository/tag'


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, name="a" * 63),
        replace(SPEC, name="my_service-1"),
        replace(SPEC, replicas=0),
        with_ports(PortConfig(80, 8080), PortConfig(80, 8080, protocol="udp"), PortConfig(81), PortConfig(82)),
        with_ports(PortConfig(80, publish_mode=PublishMode.HOST), mode=EndpointMode.DNSRR),
        with_task(limits=Resources(nano_cpus=1_000_000, memory_bytes=4 * 2**20)),
        with_task(placement=Placement(constraints=("node.role==worker", "node.labels.az != a"))),
        with_task(placement=Placement(spread=("node.labels.az", "engine.labels.rack"))),
        with_container(hostname="{{.Node.Hostname}}", env=('A={{index .Service.Labels "x"}}',)),
        with_container(dns=DNSConfig(("10.0.0.1", "2001:db8::1"), ("example.com", "."), ("ndots:2", "rotate"))),
        with_container(healthcheck=HealthConfig(("NONE",), interval=0.001)),
        replace(SPEC, labels=(("swarm.drain", "off"), ("swarm.drain-timeout", "5s"))),
        replace(SPEC, mode=ServiceMode.REPLICATED_JOB, max_concurrent=2, total_completions=0),
    ],
)
def test_specs_that_are_fine(spec: ServiceSpec) -> None:
    validate_service(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (replace(SPEC, name=""), "meta: name must be provided"),
        (replace(SPEC, name="-a"), "name must be valid as a DNS name component"),
        (replace(SPEC, name="a.b"), "name must be valid as a DNS name component"),
        (replace(SPEC, name="a\n"), "name must be valid as a DNS name component"),
        (replace(SPEC, name="a" * 64), "name must be 63 characters or fewer"),
        (
            replace(SPEC, task=replace(SPEC.task, networks=(NetworkReference("n", ("shop", "")),))),
            "TaskSpec: network alias must not be empty",
        ),
        (with_container(image=""), "ContainerSpec: image reference must be provided"),
        (with_container(dns=DNSConfig(("bogus",))), "ContainerSpec: bogus is not an ip address"),
        (with_container(dns=DNSConfig(("10.0.0.1\n",))), "ContainerSpec: 10.0.0.1\n is not an ip address"),
        (
            with_container(dns=DNSConfig(search=("a\nnameserver 192.0.2.1",))),
            "ContainerSpec: 'a\\nnameserver 192.0.2.1' is not a valid domain",
        ),
        (with_container(dns=DNSConfig(search=("a b",))), "ContainerSpec: 'a b' is not a valid domain"),
        (
            with_container(dns=DNSConfig(options=("ndots:1\nx",))),
            "ContainerSpec: 'ndots:1\\nx' is not a valid DNS option",
        ),
        (replace(SPEC, replicas=-1), "Number of replicas must be non-negative"),
        (
            replace(SPEC, mode=ServiceMode.REPLICATED_JOB, max_concurrent=-1),
            "Maximum concurrent jobs must not be negative",
        ),
        (
            replace(SPEC, mode=ServiceMode.REPLICATED_JOB, total_completions=-1),
            "Total completed jobs must not be negative",
        ),
        (replace(SPEC, mode=ServiceMode.GLOBAL_JOB, update=UpdateConfig()), "Jobs may not have an update config"),
        (with_task(limits=Resources(nano_cpus=1)), "invalid cpu value 1e-09: Must be at least 0.001"),
        (with_task(reservations=Resources(memory_bytes=1)), "invalid memory value 1: Must be at least 4MiB"),
        (
            with_task(reservations=Resources(generic=(("gpu", -1),))),
            "invalid value -1 of generic resource gpu: must not be negative",
        ),
        (with_task(restart=RestartPolicy(delay=-1)), "TaskSpec: restart-delay cannot be negative"),
        (with_task(restart=RestartPolicy(window=-1)), "TaskSpec: restart-window cannot be negative"),
        (replace(SPEC, update=UpdateConfig(delay=-1)), "TaskSpec: update-delay cannot be negative"),
        (replace(SPEC, update=UpdateConfig(monitor=-1)), "TaskSpec: update-monitor cannot be negative"),
        (
            replace(SPEC, update=UpdateConfig(max_failure_ratio=1.5)),
            "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
        ),
        (
            replace(SPEC, rollback=UpdateConfig(max_failure_ratio=float("nan"))),
            "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
        ),
        (
            with_ports(PortConfig(80), mode=EndpointMode.DNSRR),
            "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
        ),
        (
            with_ports(PortConfig(80, 8080), PortConfig(81, 8080)),
            "EndpointSpec: duplicate published ports provided",
        ),
        (with_ports(PortConfig(0)), "EndpointSpec: invalid target port 0"),
        (with_ports(PortConfig(80, 70_000)), "EndpointSpec: invalid published port 70000"),
        (
            with_container(mounts=(Mount("bind", "/a", "/x"), Mount("tmpfs", "/a"))),
            "ContainerSpec: duplicate mount point: /a",
        ),
        (with_container(mounts=(Mount("volume", ""),)), "ContainerSpec: mount target must be provided"),
        (
            with_container(healthcheck=HealthConfig(interval=0.0005)),
            "ContainerSpec: Interval in HealthConfig cannot be less than 1ms",
        ),
        (
            with_container(healthcheck=HealthConfig(retries=-1)),
            "ContainerSpec: Retries in HealthConfig cannot be negative",
        ),
        (with_container(secrets=(FileReference("", "n", "t"),)), "malformed secret reference"),
        (
            with_container(configs=(FileReference("1", "a", "t"), FileReference("2", "b", "t"))),
            "config references 'a' and 'b' have a conflicting target: 't'",
        ),
        (replace(SPEC, labels=(("swarm.drain-timeout", "soon"),)), 'invalid duration "soon"'),
        (
            with_container(hostname="{{.Nope}}"),
            'expanding hostname failed: template: unknown placeholder "{{.Nope}}"',
        ),
        (
            with_container(env=("A={{if true}}x{{end}}",)),
            'expanding env failed: template: unknown placeholder "{{if true}}"',
        ),
        (
            with_container(mounts=(Mount("volume", "/a", "{{.Task"),)),
            'expanding mounts failed: template: unclosed placeholder in "{{.Task"',
        ),
        (
            with_container(mounts=(Mount("tmpfs", "/{{.Task.Slot}}"), Mount("tmpfs", "/1"))),
            "ContainerSpec: duplicate mount point: /1",
        ),
    ],
)
def test_specs_that_are_not(spec: ServiceSpec, message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        validate_service(spec)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("descriptor", ["node.hostname", "node.labels.", "zone", ""])
def test_a_preference_that_would_spread_over_nothing_is_refused(descriptor: str) -> None:
    with pytest.raises(NotSupported) as refused:
        validate_service(with_task(placement=Placement(spread=(descriptor,))))
    assert str(refused.value) == (
        f"placement preference 'spread={descriptor}' is not supported: "
        "give spread=node.labels.<label> or spread=engine.labels.<label>"
    )


def test_the_mesh_does_not_balance_sctp() -> None:
    with pytest.raises(NotSupported, match="sctp port 80 cannot be published through the routing mesh"):
        validate_service(with_ports(PortConfig(80, protocol="sctp")))
    validate_service(with_ports(PortConfig(80, protocol="sctp", publish_mode=PublishMode.HOST)))


def test_a_constraint_that_cannot_be_read_is_told_apart() -> None:
    with pytest.raises(BadConstraint):
        validate_service(with_task(placement=Placement(constraints=("node.role",))))
