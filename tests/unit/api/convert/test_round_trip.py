"""Whatever the API can say of a service survives the model: nothing is lost, nothing invented."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.convert.resources import claims_to_wire
from orchestrator.api.convert.service import spec_from_wire, spec_to_wire
from orchestrator.api.errors import BadRequest
from orchestrator.api.requests import parse_object
from orchestrator.api.wire.service import ServiceSpec as WireSpec
from orchestrator.model.service import ServiceSpec
from orchestrator.model.service_defaults import with_defaults

FULL: dict[str, Any] = {
    "Name": "web",
    "Labels": {"a": "1", "b": ""},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "nginx:1@sha256:" + "a" * 64,
            "Labels": {"c": "2"},
            "Command": ["sh", "-c"],
            "Args": ["x"],
            "Hostname": "{{.Node.Hostname}}",
            "Env": ["A=b", "C"],
            "Dir": "/srv",
            "User": "1000",
            "Groups": ["wheel"],
            "Privileges": {
                "CredentialSpec": None,
                "SELinuxContext": {"Disable": True, "User": "", "Role": "", "Type": "", "Level": ""},
                "Seccomp": {"Mode": "custom", "Profile": "e30="},
                "NoNewPrivileges": True,
            },
            "Init": True,
            "StopSignal": "SIGINT",
            "TTY": True,
            "OpenStdin": True,
            "ReadOnly": True,
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": "v",
                    "Target": "/v",
                    "ReadOnly": True,
                    "Consistency": "cached",
                    "VolumeOptions": {"NoCopy": True, "DriverConfig": {"Name": "local"}},
                },
                {"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"Propagation": "rslave"}},
                {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1024, "Mode": 511}},
            ],
            "StopGracePeriod": 10000000000,
            "Healthcheck": {
                "Test": ["CMD", "true"],
                "Interval": 1000000001,
                "Timeout": 2000000000,
                "StartPeriod": 3000000000,
                "StartInterval": 4000000000,
                "Retries": 3,
            },
            "Hosts": ["10.0.0.1 db"],
            "DNSConfig": {"Nameservers": ["10.0.0.1"], "Search": ["x"], "Options": ["ndots:1"]},
            "Secrets": [
                {"File": {"Name": "s", "UID": "0", "GID": "0", "Mode": 292}, "SecretID": "i", "SecretName": "n"}
            ],
            "Configs": [
                {"File": {"Name": "c", "UID": "1", "GID": "2", "Mode": 256}, "ConfigID": "j", "ConfigName": "m"},
                {"Runtime": {}, "ConfigID": "k", "ConfigName": "l"},
            ],
            "Isolation": "default",
            "Sysctls": {"net.core.somaxconn": "1024"},
            "CapabilityAdd": ["CAP_NET_RAW"],
            "CapabilityDrop": ["ALL"],
            "Ulimits": [{"Name": "nofile", "Hard": 20, "Soft": 10}],
            "OomScoreAdj": -100,
        },
        "Resources": {
            "Limits": {"NanoCPUs": 1000000000, "MemoryBytes": 1073741824, "Pids": 100},
            "Reservations": {
                "NanoCPUs": 500000000,
                "MemoryBytes": 536870912,
                "GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}],
            },
        },
        "RestartPolicy": {"Condition": "on-failure", "Delay": 1, "MaxAttempts": 3, "Window": 60000000000},
        "Placement": {
            "Constraints": ["node.role==worker"],
            "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.az"}}],
            "MaxReplicas": 2,
            "Platforms": [{"Architecture": "amd64", "OS": "linux"}],
        },
        "Networks": [{"Target": "net", "Aliases": ["w"], "DriverOpts": {"x": "y"}}],
        "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
        "ForceUpdate": 7,
        "Runtime": "container",
    },
    "Mode": {"Replicated": {"Replicas": 0}},
    "UpdateConfig": {
        "Parallelism": 0,
        "Delay": 1000000000,
        "FailureAction": "rollback",
        "Monitor": 15000000000,
        "MaxFailureRatio": 0.15,
        "Order": "start-first",
    },
    "RollbackConfig": {
        "Parallelism": 2,
        "FailureAction": "continue",
        "Monitor": 1,
        "MaxFailureRatio": 0.0,
        "Order": "stop-first",
    },
    "EndpointSpec": {
        "Mode": "vip",
        "Ports": [
            {"Name": "http", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
            {"Protocol": "udp", "TargetPort": 53, "PublishMode": "host"},
        ],
    },
}


def from_json(value: Any) -> ServiceSpec:
    return spec_from_wire(parse_object(value, WireSpec))


def to_json(spec: ServiceSpec) -> Any:
    return json.loads(msgspec.json.encode(spec_to_wire(spec)))


def test_every_field_comes_back() -> None:
    assert to_json(from_json(FULL)) == FULL


def test_a_restart_policy_shows_what_was_given_even_if_it_is_nothing() -> None:
    """`docker.types.RestartPolicy` sends a window of 0 and compares what comes back."""
    for parts in ({"Delay": 5, "Window": 0}, {"Delay": 0}, {}):
        policy = {"Condition": "any", "MaxAttempts": 5, **parts}
        shown = to_json(from_json({"TaskTemplate": {"ContainerSpec": {"Image": "i"}, "RestartPolicy": policy}}))
        assert shown["TaskTemplate"]["RestartPolicy"] == policy


def test_certain_generic_resources_come_back() -> None:
    asked = [
        {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}},
        {"NamedResourceSpec": {"Kind": "mpi", "Value": "latest"}},
    ]
    template = {"ContainerSpec": {"Image": "i"}, "Resources": {"Reservations": {"GenericResources": asked}}}
    shown = to_json(from_json({"TaskTemplate": template}))
    assert shown["TaskTemplate"]["Resources"]["Reservations"] == {"GenericResources": asked}


def test_amounts_of_one_kind_are_added_up() -> None:
    amounts = [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": value}} for value in (1, 2)]
    template = {"ContainerSpec": {"Image": "i"}, "Resources": {"Reservations": {"GenericResources": amounts}}}
    reserved = from_json({"TaskTemplate": template}).task.reservations
    assert reserved is not None
    assert reserved.generic == (("gpu", 3),)


def test_the_smallest_service_gets_what_docker_always_writes() -> None:
    assert to_json(from_json({"Name": "w", "TaskTemplate": {"ContainerSpec": {"Image": "i"}}})) == {
        "Name": "w",
        "Labels": {},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "i", "Isolation": "default"},
            "ForceUpdate": 0,
            "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": 1}},
    }


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ({}, {"Replicated": {"Replicas": 1}}),
        ({"Replicated": {}}, {"Replicated": {"Replicas": 1}}),
        ({"Global": {}}, {"Global": {}}),
        ({"GlobalJob": {}}, {"GlobalJob": {}}),
        ({"ReplicatedJob": {}}, {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}),
        ({"ReplicatedJob": {"MaxConcurrent": 3}}, {"ReplicatedJob": {"MaxConcurrent": 3, "TotalCompletions": 3}}),
    ],
)
def test_modes(mode: Any, expected: Any) -> None:
    assert to_json(from_json({**FULL, "Mode": mode}))["Mode"] == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Mode": {"Global": {}, "Replicated": {}}}, "must specify only one service mode"),
        ({"TaskTemplate": {}}, "mismatched Runtime and *Spec fields"),
        ({"TaskTemplate": {"Runtime": "unheard-of"}}, "unsupported runtime"),
        ({"UpdateConfig": {"FailureAction": "x"}}, "unrecognized update failure action x"),
        ({"UpdateConfig": {"Order": "x"}}, "unrecognized update order x"),
        ({"EndpointSpec": {"Mode": "x"}}, 'invalid resolution mode: "x"'),
        ({"EndpointSpec": {"Ports": [{"Protocol": "x", "TargetPort": 1}]}}, 'invalid port protocol: "x"'),
    ],
)
def test_nonsense_is_refused(changes: Any, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        from_json({**FULL, **changes})
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"Type": "x", "Target": "/a"}, 'invalid MountType: "x"'),
        (
            {"Type": "bind", "Target": "/a", "VolumeOptions": {}},
            "invalid mount config for type 'bind': VolumeOptions must not be specified",
        ),
    ],
)
def test_mounts_that_contradict_themselves_are_refused(mount: Any, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        from_json({"TaskTemplate": {"ContainerSpec": {"Image": "i", "Mounts": [mount]}}})
    assert str(refused.value) == message


def test_keys_in_any_case_nulls_and_unknown_keys_as_go_reads_them() -> None:
    spec = from_json(
        {
            "name": "w",
            "LABELS": None,
            "Unknown": {"x": [1]},
            "taskTemplate": {"containerSpec": {"image": "i", "HealthCheck": {"test": ["NONE"]}, "env": None}},
        }
    )
    assert (spec.name, spec.task.container.image) == ("w", "i")
    assert spec.task.container.healthcheck is not None
    assert spec.task.container.healthcheck.is_disabled


def test_networks_beside_the_template_are_read_as_before_1_44() -> None:
    spec = from_json({"TaskTemplate": {"ContainerSpec": {"Image": "i"}}, "Networks": [{"Target": "n"}]})
    assert [network.network_id for network in spec.task.networks] == ["n"]


def test_defaults_fill_every_section() -> None:
    spec = to_json(with_defaults(from_json({"Name": "w", "TaskTemplate": {"ContainerSpec": {"Image": "i"}}})))
    template = spec["TaskTemplate"]
    assert template["ContainerSpec"] == {
        "Image": "i",
        "StopGracePeriod": 10_000_000_000,
        "DNSConfig": {},
        "Isolation": "default",
    }
    assert template["RestartPolicy"] == {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0}
    assert template["Resources"] == {"Limits": {}, "Reservations": {}}
    assert template["Placement"] == {}
    assert spec["UpdateConfig"]["Monitor"] == spec["RollbackConfig"]["Monitor"] == 5_000_000_000


def test_an_update_config_shows_a_monitor_only_where_it_was_given() -> None:
    asked = from_json(
        {"Name": "w", "TaskTemplate": {"ContainerSpec": {"Image": "i"}}, "UpdateConfig": {"Parallelism": 1}}
    )
    assert to_json(asked)["UpdateConfig"] == {
        "Parallelism": 1,
        "FailureAction": "pause",
        "MaxFailureRatio": 0.0,
        "Order": "stop-first",
    }
    assert to_json(with_defaults(asked))["UpdateConfig"]["Monitor"] == 5_000_000_000


def test_an_amount_is_a_number_and_everything_else_a_name() -> None:
    claimed = msgspec.to_builtins(claims_to_wire((("SSD", "3"), ("gpu", "uuid-1"), ("gpu", "²"))))
    assert list(claimed) == [
        {"DiscreteResourceSpec": {"Kind": "SSD", "Value": 3}},
        {"NamedResourceSpec": {"Kind": "gpu", "Value": "uuid-1"}},
        {"NamedResourceSpec": {"Kind": "gpu", "Value": "²"}},
    ]


def test_protocols_and_modes_are_taken_in_any_case() -> None:
    port = {"Protocol": "UDP", "TargetPort": 53, "PublishMode": "Host"}
    endpoint = {"Mode": "DNSRR", "Ports": [port]}
    asked = from_json({"Name": "w", "TaskTemplate": {"ContainerSpec": {"Image": "i"}}, "EndpointSpec": endpoint})
    shown = {"Protocol": "udp", "TargetPort": 53, "PublishMode": "host"}
    assert to_json(asked)["EndpointSpec"] == {"Mode": "dnsrr", "Ports": [shown]}


_TEXT = st.text(max_size=5)
_NANOSECONDS = st.integers(0, 2**51 - 1)


@given(
    st.fixed_dictionaries(
        {"TaskTemplate": st.just({"ContainerSpec": {"Image": "i"}})},
        optional={
            "Name": _TEXT,
            "Labels": st.dictionaries(_TEXT, _TEXT, max_size=3),
            "UpdateConfig": st.fixed_dictionaries(
                {},
                optional={
                    "Parallelism": st.integers(0, 9),
                    "Delay": _NANOSECONDS,
                    "Monitor": _NANOSECONDS,
                    "MaxFailureRatio": st.floats(0, 1),
                    "Order": st.sampled_from(["", "stop-first", "start-first"]),
                },
            ),
            "Mode": st.sampled_from([{"Global": {}}, {"Replicated": {"Replicas": 3}}]),
        },
    )
)
def test_reading_back_what_was_written_changes_nothing(given_spec: Any) -> None:
    spec = from_json(given_spec)
    assert from_json(to_json(spec)) == spec
