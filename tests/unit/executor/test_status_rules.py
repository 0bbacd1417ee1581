"""From the engine's container JSON to a task's status."""

from typing import Any

import pytest

from orchestrator.executor import status_rules
from orchestrator.model.task import TaskState


def container(status: str = "running", **state: Any) -> dict[str, Any]:
    """A container as `docker inspect` shows it."""
    return {"Id": "c1", "State": {"Status": status, "Pid": 42, "ExitCode": 0, "Error": "", **state}, "Config": {}}


@pytest.mark.parametrize(
    ("inspected", "state", "error"),
    [
        (container("created"), TaskState.READY, ""),
        (container("running"), TaskState.RUNNING, ""),
        (container("paused"), TaskState.RUNNING, ""),
        (container("exited"), TaskState.COMPLETE, ""),
        (container("exited", ExitCode=137), TaskState.FAILED, "task: non-zero exit (137)"),
        (container("exited", ExitCode=1, Error="oom"), TaskState.FAILED, "task: non-zero exit (1): oom"),
        (container("dead", ExitCode=2), TaskState.FAILED, "task: non-zero exit (2)"),
    ],
)
def test_observed(inspected: dict[str, Any], state: TaskState, error: str) -> None:
    status = status_rules.observed_status(inspected, 5.0)
    assert (status.state, status.error, status.at, status.container_id) == (state, error, 5.0, "c1")


def test_a_cause_makes_a_clean_exit_a_failure() -> None:
    status = status_rules.ended_status(container("exited"), 5.0, status_rules.UNHEALTHY)
    assert (status.state, status.exit_code, status.error) == (TaskState.FAILED, 0, status_rules.UNHEALTHY)


def test_host_ports_count_once() -> None:
    both = [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]
    inspected = {"NetworkSettings": {"Ports": {"80/tcp": both, "53/udp": [{"HostPort": "53"}], "90/tcp": None}}}
    assert status_rules.host_ports(inspected) == (("udp", 53, 53), ("tcp", 80, 8080))


@pytest.mark.parametrize(("test", "expected"), [(["CMD", "x"], True), (["NONE"], False), ([], False), (None, False)])
def test_healthcheck(test: list[str] | None, expected: bool) -> None:
    assert status_rules.has_healthcheck({"Config": {"Healthcheck": {"Test": test}}}) is expected
    assert not status_rules.has_healthcheck({"Config": {"Healthcheck": None}})


@pytest.mark.parametrize(
    ("check", "seconds"),
    [
        ({}, 300.0),
        ({"Interval": 180 * 10**9, "Timeout": 10**9, "Retries": 1, "StartPeriod": 300 * 10**9}, 843.0),
    ],
)
def test_a_healthcheck_says_how_long_it_may_take(check: dict[str, int], seconds: float) -> None:
    assert status_rules.health_seconds({"Config": {"Healthcheck": {"Test": ["CMD", "true"], **check}}}) == seconds


def test_node_description() -> None:
    info = {
        "Name": "n1",
        "Architecture": "x86_64",
        "OSType": "linux",
        "NCPU": 2,
        "MemTotal": 1024,
        "ServerVersion": "26.1.5",
        "Labels": ["b=2", "a=1=x", "bare"],
    }
    node = status_rules.node_description(info)
    assert (node.hostname, node.architecture, node.engine_version) == ("n1", "x86_64", "26.1.5")
    assert node.engine_labels == (("a", "1=x"), ("b", "2"), ("bare", ""))
    assert (node.resources.nano_cpus, node.resources.memory_bytes) == (2_000_000_000, 1024)


def test_generic_resources_as_amounts_and_by_name() -> None:
    info = {
        "Name": "n1",
        "NCPU": 2,
        "MemTotal": 1024,
        "GenericResources": [
            {"NamedResourceSpec": {"Kind": "GPU", "Value": "uuid-2"}},
            {"NamedResourceSpec": {"Kind": "GPU", "Value": "uuid-1"}},
            {"DiscreteResourceSpec": {"Kind": "SSD", "Value": 3}},
        ],
    }
    resources = status_rules.node_description(info).resources
    assert (resources.generic, resources.named) == ((("SSD", 3),), (("GPU", "uuid-1"), ("GPU", "uuid-2")))
    assert (resources.generic_count("GPU"), resources.generic_count("SSD")) == (2, 3)
