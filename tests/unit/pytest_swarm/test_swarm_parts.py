"""Small pure parts: subnets, owners, specifications, transitions, log lines."""

from __future__ import annotations

import dataclasses
import ipaddress
import os

import pytest

from pytest_swarm.load_settings import LoadSettings, locust_command
from pytest_swarm.observer import Transition, replacements
from pytest_swarm.ownership import Owner
from pytest_swarm.phases import Replacement
from pytest_swarm.server_log import parse_line
from pytest_swarm.service_spec import (
    Deployment,
    Healthcheck,
    service_spec,
    with_forced_update,
    with_image,
    with_replicas,
)
from pytest_swarm.subnets import SUBNETS, dynamic_range, free_subnets, gateway_of, node_address, parse_routes


def test_a_subnet_that_is_taken_is_passed_over() -> None:
    taken = [ipaddress.IPv4Network("198.18.4.0/22")]
    assert str(next(free_subnets(taken, 4))) == "198.18.8.0/24"
    assert str(next(free_subnets([], SUBNETS))) == "198.18.0.0/24"
    assert list(free_subnets([ipaddress.IPv4Network("198.18.0.0/15")], 0)) == []


def test_a_node_has_an_address_that_nobody_else_is_given() -> None:
    subnet = ipaddress.IPv4Network("198.18.8.0/24")
    fixed = [node_address(subnet, number) for number in (1, 2, 126)]

    assert gateway_of(subnet) == "198.18.8.1"
    assert fixed == ["198.18.8.2", "198.18.8.3", "198.18.8.127"]
    assert not any(ipaddress.IPv4Address(address) in dynamic_range(subnet) for address in fixed)
    with pytest.raises(ValueError, match="no room for a node 127"):
        node_address(subnet, 127)


def test_routes_are_read_without_the_default_one() -> None:
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert parse_routes(table) == [ipaddress.IPv4Network("192.168.0.0/24")]


def test_an_owner_survives_its_label() -> None:
    owner = Owner.current()
    assert Owner.parse(owner.label) == owner
    assert owner.process_id == os.getpid()
    assert owner.is_alive()


def test_a_process_id_that_was_reused_is_not_the_owner() -> None:
    owner = Owner.current()
    assert not dataclasses.replace(owner, start_ticks=owner.start_ticks - 1).is_alive()
    assert not dataclasses.replace(owner, boot_id="another boot").is_alive()


@pytest.mark.parametrize("label", ["", "node", "a/b/c/d", "a/1/2"])
def test_other_labels_are_not_ours(label: str) -> None:
    assert Owner.parse(label) is None


def test_a_specification_is_what_the_api_wants() -> None:
    deployment = Deployment(
        image="web:1",
        name="web",
        publish={8080: 80},
        order="start-first",
        delay=1.5,
        monitor=2,
        stop_grace_period=3,
        command=["/run"],
        env={"A": "b"},
        labels={"swarm.drain": "off"},
        healthcheck=Healthcheck(["CMD", "true"]),
    )
    spec = service_spec(deployment)

    assert spec["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=b"]
    assert spec["TaskTemplate"]["ContainerSpec"]["Command"] == ["/run"]
    assert spec["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] == 3_000_000_000
    assert spec["TaskTemplate"]["ContainerSpec"]["Healthcheck"]["Interval"] == 1_000_000_000
    assert spec["UpdateConfig"] == {
        "Parallelism": 1,
        "Delay": 1_500_000_000,
        "Order": "start-first",
        "FailureAction": "pause",
        "Monitor": 2_000_000_000,
    }
    assert spec["EndpointSpec"]["Ports"] == [
        {"Protocol": "tcp", "PublishedPort": 8080, "TargetPort": 80, "PublishMode": "ingress"}
    ]
    assert spec["EndpointSpec"]["Mode"] == "vip"
    assert spec["Labels"] == {"swarm.drain": "off"}


def test_a_service_can_do_without_a_virtual_address() -> None:
    spec = service_spec(Deployment(image="web:1", name="web", endpoint_mode="dnsrr"))

    assert spec["EndpointSpec"] == {"Mode": "dnsrr", "Ports": []}


def test_changes_leave_the_original_alone() -> None:
    spec = service_spec(Deployment(image="web:1", name="web"))

    assert with_image(spec, "web:2")["TaskTemplate"]["ContainerSpec"]["Image"] == "web:2"
    assert with_forced_update(with_forced_update(spec))["TaskTemplate"]["ForceUpdate"] == 2
    assert with_replicas(spec, 9)["Mode"] == {"Replicated": {"Replicas": 9}}
    assert spec == service_spec(Deployment(image="web:1", name="web"))


def test_replacements_are_found_in_the_transitions() -> None:
    def seen(time: float, task: str, slot: int, state: str, desired: str = "running") -> Transition:
        return Transition(time, task, slot, "node", state, desired)

    transitions = [
        seen(0.0, "a1", 1, "running"),
        seen(0.0, "a2", 2, "running"),
        seen(1.0, "a1", 1, "running", "shutdown"),
        seen(1.5, "a1", 1, "shutdown", "shutdown"),
        seen(1.6, "b1", 1, "running"),
        seen(9.0, "b2", 2, "running"),
    ]
    assert replacements(transitions, 0.5, 5.0) == (Replacement("slot 1", 1.0, 1.6),)


def test_a_log_line_becomes_an_event() -> None:
    line = '{"event": "received", "id": "run-1", "version": "2", "task": "host", "time": 12.5, "path": "/"}'
    event = parse_line(line, "web.1.abc", "n3")

    assert event is not None
    assert (event.event, event.request_id, event.time, event.task, event.node) == (
        "received",
        "run-1",
        12.5,
        "web.1.abc",
        "n3",
    )


@pytest.mark.parametrize(
    "line", ["", "listening", "7", '{"event": "started"}', '{"event": "received", "id": "", "time": 1}']
)
def test_other_log_lines_are_passed_over(line: str) -> None:
    assert parse_line(line, "web.1.abc", "n3") is None


def test_settings_reach_locust() -> None:
    settings = LoadSettings(users=3, keep_alive=True, first_source_port=20000)
    command = locust_command(settings, "load1", "/files/targets", "10.0.0.9:8080", "/files", "/out")

    assert command[command.index("-u") + 1] == "3"
    assert command[command.index("--targets-file") + 1] == "/files/targets"
    assert command[command.index("--first-source-port") + 1] == "20000"
    assert "--keep-alive" in command
