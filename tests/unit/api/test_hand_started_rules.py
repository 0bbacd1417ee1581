"""What a container started by hand is given, and when it is left alone."""

from typing import Any

import pytest

from orchestrator.api.hand_started_rules import (
    has_own_resolver,
    lost_settings,
    networks_asked,
    networks_joined,
    resolver_settings,
    with_network_names,
    with_resolver,
)
from orchestrator.model.network import AttachedNetwork
from orchestrator.model.resolver_settings import ResolverSettings

ATT = AttachedNetwork("id1", "att", "10.0.1.0/24", 4097, "10.0.1.2", attachable=True)
PLAIN = AttachedNetwork("id2", "plain", "10.0.2.0/24", 4098, "10.0.2.2")


@pytest.mark.parametrize(
    ("body", "joined"),
    [
        ({"HostConfig": {"NetworkMode": "att"}}, (ATT,)),
        ({"HostConfig": {"NetworkMode": "id1"}}, (ATT,)),
        ({"HostConfig": {"NetworkMode": "bridge"}, "NetworkingConfig": {"EndpointsConfig": {"att": None}}}, (ATT,)),
        ({"HostConfig": {"NetworkMode": "plain"}}, ()),
        ({"HostConfig": {"NetworkMode": "default"}}, ()),
        ({"HostConfig": None, "NetworkingConfig": None}, ()),
        ({}, ()),
    ],
)
def test_joining_is_by_name_or_id_and_only_where_it_is_allowed(
    body: dict[str, Any], joined: tuple[AttachedNetwork, ...]
) -> None:
    assert networks_joined(body, (ATT, PLAIN)) == joined


def test_networks_asked_for_get_the_names_the_engine_knows() -> None:
    body = {
        "HostConfig": {"NetworkMode": "id1", "Dns": ["9.9.9.9"]},
        "NetworkingConfig": {"EndpointsConfig": {"id1": {"Aliases": ["x"]}, "mine": None}},
    }
    assert networks_asked(body) == ("id1", "mine")
    assert with_network_names(body, {"id1": "att"}) == {
        "HostConfig": {"NetworkMode": "att", "Dns": ["9.9.9.9"]},
        "NetworkingConfig": {"EndpointsConfig": {"att": {"Aliases": ["x"]}, "mine": None}},
    }
    for mode in ("", "default", "bridge", "host", "none", "container:c"):
        untouched: dict[str, Any] = {"HostConfig": {"NetworkMode": mode}}
        assert networks_asked(untouched) == ()
        assert with_network_names(untouched, {}) == untouched


@pytest.mark.parametrize(
    "host",
    [
        {"Binds": ["/mine:/etc/resolv.conf:ro"]},
        {"Mounts": [{"Type": "bind", "Source": "/mine", "Target": "/etc/resolv.conf"}]},
    ],
)
def test_a_resolver_file_of_the_users_stays(host: dict[str, object]) -> None:
    assert has_own_resolver({"HostConfig": host})
    assert not has_own_resolver({"HostConfig": {"Binds": ["volume"], "Mounts": None}})


def test_our_servers_come_before_the_users() -> None:
    assert resolver_settings({}, (ATT,)) == ResolverSettings(("10.0.1.2",))
    host = {"Dns": ["9.9.9.9"], "DnsSearch": ["a.org", "b.org"], "DnsOptions": ["ndots:2"]}
    assert resolver_settings({"HostConfig": host}, (ATT,)) == ResolverSettings(
        ("10.0.1.2", "9.9.9.9"), ("a.org", "b.org"), ("ndots:2",)
    )


def test_what_is_of_another_type_is_left_to_the_engine_to_refuse() -> None:
    host: dict[str, Any] = {"Binds": 1, "Mounts": "x", "Dns": {}, "DnsSearch": 2, "DnsOptions": True}
    assert not has_own_resolver({"HostConfig": host})
    assert resolver_settings({"HostConfig": host}, (ATT,)) == ResolverSettings(("10.0.1.2",))
    assert with_resolver({"HostConfig": host}, "/file") == {"HostConfig": host}


def test_nothing_else_of_the_request_changes() -> None:
    body: dict[str, Any] = {
        "Image": "x",
        "HostConfig": {"NetworkMode": "att", "Mounts": [{"Type": "tmpfs", "Target": "/t"}]},
    }
    changed = with_resolver(body, "/node/file")
    assert changed["Image"] == "x"
    assert changed["HostConfig"]["Mounts"] == [
        {"Type": "tmpfs", "Target": "/t"},
        {"Type": "bind", "Source": "/node/file", "Target": "/etc/resolv.conf", "ReadOnly": True},
    ]
    assert body["HostConfig"]["Mounts"] == [{"Type": "tmpfs", "Target": "/t"}]


@pytest.mark.parametrize(
    ("endpoint", "host", "warning"),
    [
        ({"Aliases": ["db"]}, {}, "network-scoped aliases are not supported on network att"),
        ({}, {"Dns": ["192.0.2.7"]}, "DNS servers 192.0.2.7 are asked only if the name server of network att"),
        ({}, {"NetworkMode": "mine"}, "names of containers on network mine are not resolved"),
    ],
)
def test_what_a_container_does_not_get_is_said(endpoint: dict[str, Any], host: dict[str, Any], warning: str) -> None:
    body = {"HostConfig": {"NetworkMode": "att", **host}, "NetworkingConfig": {"EndpointsConfig": {"att": endpoint}}}
    (found,) = lost_settings(body, [ATT])
    assert warning in found


def test_with_a_resolver_file_of_its_own_nothing_is_lost() -> None:
    host = {"NetworkMode": "att", "Dns": ["192.0.2.7"], "Binds": ["/mine:/etc/resolv.conf"]}
    assert lost_settings({"HostConfig": host}, [ATT]) == []
