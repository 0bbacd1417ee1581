"""From a task to the engine's create call."""

import base64
import json
from dataclasses import replace

import pytest

from orchestrator.executor.container_rules import create_body, endpoint_settings
from orchestrator.model.container import ContainerSpec, DNSConfig, FileReference, HealthConfig, Mount, Ulimit
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.node import NodeDescription
from orchestrator.model.service import LogDriver, PortConfig, PublishMode, Resources, TaskSpec
from orchestrator.model.task import NetworkAttachment, Task

NODE = NodeDescription("host-1", "aarch64", "linux")
TASK = Task(
    "task-id",
    "service-id",
    "web",
    2,
    TaskSpec(ContainerSpec("web:1")),
    1,
    node_id="node-id",
    labels=(("tier", "front"),),
)


def with_container(**fields: object) -> Task:
    """The task with another container."""
    return replace(TASK, spec=TaskSpec(ContainerSpec("web:1", **fields)))  # type: ignore[arg-type]


def host_config(task: Task) -> dict[str, object]:
    """The part of the body that says how it is run."""
    config: dict[str, object] = create_body(task, NODE)["HostConfig"]
    return config


def test_labels_say_whose_container_it_is() -> None:
    task = with_container(labels=(("own", "yes"), ("com.docker.swarm.task.id", "forged")))
    assert create_body(task, NODE)["Labels"] == {
        "own": "yes",
        "com.docker.swarm.node.id": "node-id",
        "com.docker.swarm.service.id": "service-id",
        "com.docker.swarm.service.name": "web",
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.id": "task-id",
        "com.docker.swarm.task.name": "web.2.task-id",
    }


def test_what_the_image_says_holds_where_the_user_said_nothing() -> None:
    assert not {"Cmd", "Entrypoint", "StopSignal", "Healthcheck"} & create_body(TASK, NODE).keys()
    assert not {"Init", "Memory", "LogConfig"} & host_config(TASK).keys()


def test_command_is_the_entrypoint_and_args_are_the_command() -> None:
    body = create_body(with_container(command=("serve",), args=("-v", "x"), stop_signal="SIGINT"), NODE)
    assert (body["Entrypoint"], body["Cmd"], body["StopSignal"]) == (["serve"], ["-v", "x"], "SIGINT")


def test_healthcheck_in_nanoseconds() -> None:
    check = HealthConfig(("CMD", "true"), interval=0.5, timeout=2.0, retries=3)
    assert create_body(with_container(healthcheck=check), NODE)["Healthcheck"] == {
        "Test": ["CMD", "true"],
        "Interval": 500_000_000,
        "Timeout": 2_000_000_000,
        "Retries": 3,
    }


def test_mounts_with_their_options() -> None:
    mounts = (
        Mount("volume", "/v", "data-{{.Task.Slot}}", read_only=True, options='{"NoCopy": true}'),
        Mount("tmpfs", "/t", options='{"SizeBytes": 4096}'),
    )
    assert host_config(with_container(mounts=mounts))["Mounts"] == [
        {"Type": "volume", "Source": "data-2", "Target": "/v", "ReadOnly": True, "VolumeOptions": {"NoCopy": True}},
        {"Type": "tmpfs", "Source": "", "Target": "/t", "ReadOnly": False, "TmpfsOptions": {"SizeBytes": 4096}},
    ]


def test_templates_in_what_a_volume_is_made_from() -> None:
    asked = {
        "Labels": {"of": "{{.Service.Name}}"},
        "DriverConfig": {"Name": "local", "Options": {"device": "/x/{{.Task.Slot}}"}},
    }
    mount = Mount("volume", "/v", "data", options=json.dumps(asked))
    expected = {"Labels": {"of": "web"}, "DriverConfig": {"Name": "local", "Options": {"device": "/x/2"}}}
    assert host_config(with_container(mounts=(mount,)))["Mounts"] == [
        {"Type": "volume", "Source": "data", "Target": "/v", "ReadOnly": False, "VolumeOptions": expected}
    ]


def test_host_ports_only() -> None:
    ports = (
        PortConfig(80, 8080),
        PortConfig(53, 5353, "udp", PublishMode.HOST),
        PortConfig(53, 5354, "udp", PublishMode.HOST),
        PortConfig(90, 0, "tcp", PublishMode.HOST),
    )
    body = create_body(replace(TASK, ports=ports), NODE)
    assert body["ExposedPorts"] == {"53/udp": {}, "90/tcp": {}}
    assert body["HostConfig"]["PortBindings"] == {
        "53/udp": [{"HostPort": "5353"}, {"HostPort": "5354"}],
        "90/tcp": [{"HostPort": ""}],
    }


def test_the_first_network_at_creation() -> None:
    attachments = (NetworkAttachment("net-a", "10.0.0.7", ("web",)), NetworkAttachment("net-b", "10.0.1.7"))
    body = create_body(replace(TASK, attachments=attachments), NODE)
    assert body["HostConfig"]["NetworkMode"] == "swarm-net-a"
    assert body["NetworkingConfig"] == {"EndpointsConfig": {"swarm-net-a": {"IPAMConfig": {"IPv4Address": "10.0.0.7"}}}}


def test_no_alias_that_only_this_node_would_answer() -> None:
    assert "Aliases" not in endpoint_settings(NetworkAttachment("net-a", "10.0.0.7", ("web",)))


def test_no_network_is_the_default_bridge() -> None:
    assert host_config(TASK)["NetworkMode"] == "default"


def test_limits_and_the_rest() -> None:
    container = ContainerSpec(
        "web:1",
        hosts=("10.0.0.1 db db.local", ""),
        dns=DNSConfig(("9.9.9.9",), ("local",), ("ndots:1",)),
        init=True,
        read_only=True,
        sysctls=(("net.core.somaxconn", "9"),),
        capability_add=("CAP_NET_ADMIN",),
        ulimits=(Ulimit("nofile", 1, 2),),
    )
    spec = TaskSpec(
        container,
        limits=Resources(500_000_000, 1 << 20, 10),
        reservations=Resources(memory_bytes=1 << 19),
        log_driver=LogDriver("none"),
    )
    config = create_body(replace(TASK, spec=spec), NODE, ("10.0.0.3",))["HostConfig"]
    expected = {
        "NanoCpus": 500_000_000,
        "Memory": 1 << 20,
        "PidsLimit": 10,
        "ExtraHosts": ["db:10.0.0.1", "db.local:10.0.0.1"],
        "Dns": ["10.0.0.3", "9.9.9.9"],
        "DnsSearch": ["local"],
        "DnsOptions": ["ndots:1"],
        "Init": True,
        "ReadonlyRootfs": True,
        "Sysctls": {"net.core.somaxconn": "9"},
        "CapAdd": ["CAP_NET_ADMIN"],
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
    }
    assert expected.items() <= config.items()
    assert "MemoryReservation" not in config


def test_privileges() -> None:
    asked = {
        "Seccomp": {"Mode": "custom", "Profile": base64.b64encode(b'{"x": 1}').decode()},
        "AppArmor": {"Mode": "disabled"},
        "SELinuxContext": {"User": "u", "Level": "s0"},
        "NoNewPrivileges": True,
    }
    assert host_config(with_container(privileges=json.dumps(asked)))["SecurityOpt"] == [
        "label=user:u",
        "label=level:s0",
        'seccomp={"x": 1}',
        "apparmor=unconfined",
        "no-new-privileges=true",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"privileges": "no json"},
        {"privileges": "[]"},
        {"privileges": '{"Seccomp": {"Mode": "custom", "Profile": "%"}}'},
        {"mounts": (Mount("bind", "/a", "/b", options="{"),)},
        {"secrets": (FileReference("id", "name", "target", uid="root"),)},
    ],
)
def test_what_cannot_be_expressed_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        create_body(with_container(**fields), NODE)


def test_grace_period() -> None:
    assert TASK.spec.container.stop_grace_period_in_force == 10.0
    assert with_container(stop_grace_period=0.0).spec.container.stop_grace_period_in_force == 0.0


def test_claimed_resources_are_named_to_the_container() -> None:
    task = replace(TASK, claims=(("gpu", "uuid-1"), ("gpu", "uuid-2"), ("SSD", "3")))
    assert create_body(task, NODE)["Env"] == ["DOCKER_RESOURCE_GPU=uuid-1,uuid-2", "DOCKER_RESOURCE_SSD=3"]
