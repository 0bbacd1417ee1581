"""The nftables script as text; that the kernel takes and obeys it is shown in tests/cluster/network."""

import collections
import re
from dataclasses import replace

import pytest

from orchestrator.model.network import AttachedNetwork, BalancedService, Endpoint, NetworkConfiguration
from orchestrator.model.service import PortConfig, PublishMode
from orchestrator.network.ingress_rules import MARK, MARK_MASK, endpoint_mark, ingress_script, virtual_addresses

BEGINS = "tcp flags & (fin | syn | rst | ack) == syn"


def endpoints(count: int, network: str = "10.0.1") -> tuple[Endpoint, ...]:
    return tuple(Endpoint(f"t{number}", "web.1", "n1", f"{network}.{11 + number}") for number in range(count))


def script(*ports: PortConfig, serving: int = 3, draining: int = 0) -> str:
    service = BalancedService("s", "web", ports, endpoints(serving), endpoints(draining, "10.0.2"))
    return ingress_script(NetworkConfiguration(services=(service,)))


def chain(text: str, name: str) -> list[str]:
    """The lines of a chain."""
    body = re.search(rf"^  chain {name} {{\n(.*?)^  }}", text, re.DOTALL | re.MULTILINE)
    assert body is not None
    return [line.strip() for line in body[1].splitlines()]


def test_each_endpoint_takes_its_share_of_what_the_ones_before_left() -> None:
    assert chain(script(PortConfig(80, 8080)), "services") == [
        f"tcp dport 8080 {BEGINS} jump {{",
        "meta l4proto tcp numgen inc mod 3 == 0 ct mark set 0x5300010b dnat to 10.0.1.11:80",
        "meta l4proto tcp numgen inc mod 2 == 0 ct mark set 0x5300010c dnat to 10.0.1.12:80",
        "meta l4proto tcp ct mark set 0x5300010d dnat to 10.0.1.13:80",
        "}",
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10])
def test_shares_are_exactly_equal(count: int) -> None:
    rules = [line for line in chain(script(PortConfig(80, 8080), serving=count), "services") if "dnat" in line]
    counters: collections.Counter[int] = collections.Counter()
    chosen: collections.Counter[int] = collections.Counter()
    for _ in range(20 * count):
        for number, rule in enumerate(rules):
            share = re.search(r"mod (\d+) == 0", rule)
            turn = counters[number]
            counters[number] += 1
            if share is None or turn % int(share[1]) == 0:
                chosen[number] += 1
                break
    assert chosen == dict.fromkeys(range(count), 20)


def test_a_withdrawn_endpoint_is_in_no_rule() -> None:
    assert "10.0.2." not in script(PortConfig(80, 8080), serving=2, draining=2)


def test_without_endpoints_the_port_refuses() -> None:
    text = script(PortConfig(80, 8080), PortConfig(53, 53, "udp"), serving=0)
    assert chain(text, "services") == []
    assert chain(text, "refused") == ["tcp dport 8080 reject with tcp reset", "udp dport 53 reject"]


def test_what_does_not_begin_a_connection_is_reset_and_not_balanced() -> None:
    text = script(PortConfig(80, 8080), PortConfig(53, 53, "udp"))
    assert chain(text, "refused") == ["tcp dport 8080 reject with tcp reset"]


def test_an_endpoint_gets_what_comes_on_its_own_port_or_nothing() -> None:
    old = Endpoint("t1", "web.1", "n1", "10.0.1.11", deviating_ports=(("tcp", 80, 8080), ("tcp", 81, 0)))
    new = Endpoint("t2", "web.2", "n1", "10.0.1.12")
    ports = (PortConfig(9090, 80), PortConfig(9091, 81))
    service = BalancedService("s", "web", ports, (old, new))
    assert chain(ingress_script(NetworkConfiguration(services=(service,))), "services") == [
        f"tcp dport 80 {BEGINS} jump {{",
        "meta l4proto tcp numgen inc mod 2 == 0 ct mark set 0x5300010b dnat to 10.0.1.11:8080",
        "meta l4proto tcp ct mark set 0x5300010c dnat to 10.0.1.12:9090",
        "}",
        f"tcp dport 81 {BEGINS} jump {{",
        "meta l4proto tcp ct mark set 0x5300010c dnat to 10.0.1.12:9091",
        "}",
    ]
    alone = ingress_script(NetworkConfiguration(services=(replace(service, endpoints=(old,)),)))
    assert len(chain(alone, "services")) == 3
    assert chain(alone, "refused") == ["tcp dport 80 reject with tcp reset", "tcp dport 81 reject with tcp reset"]


def test_only_ingress_ports_with_a_number_are_balanced() -> None:
    text = script(PortConfig(80, 8080, publish_mode=PublishMode.HOST), PortConfig(81))
    assert chain(text, "services") == []
    assert chain(text, "refused") == []


def test_each_protocol_has_its_own_rules() -> None:
    lines = chain(script(PortConfig(80, 8080), PortConfig(80, 8080, "udp"), serving=1), "services")
    assert lines[0] == f"tcp dport 8080 {BEGINS} jump {{"
    assert lines[3] == "udp dport 8080 jump {"
    assert "l4proto udp" in lines[4]


def test_all_rules_are_replaced_at_once_and_the_chains_stay() -> None:
    lines = script(PortConfig(80, 8080)).splitlines()
    assert lines[:2] == ["add table ip swarm", "flush table ip swarm"]
    assert not any(line.startswith("delete") for line in lines)


def test_no_rule_of_a_request_depends_on_a_set_or_a_map() -> None:
    assert not re.search(r"\bmap\b|\bset @|[^p] \{ [^t]", "\n".join(chain(script(PortConfig(80, 8080)), "services")))


def test_a_mark_says_ours_and_which_endpoint() -> None:
    assert endpoint_mark("10.0.1.11") == 0x5300010B
    assert endpoint_mark("10.0.1.11") & MARK_MASK == MARK
    assert endpoint_mark("10.255.255.255") == 0x53FFFFFF


def networks_script(*, serving: int = 2, internal: bool = False) -> str:
    front = AttachedNetwork("frontfrontfront", "front", "10.1.1.0/24", 4100, "10.1.1.2", internal=internal)
    back = AttachedNetwork("backbackbackback", "back", "10.1.2.0/24", 4101, "10.1.2.2")
    members = tuple(
        Endpoint(f"t{number}", "web.1", "n1", "", (("frontfrontfront", f"10.1.1.{11 + number}"),))
        for number in range(serving)
    )
    virtual = (("elsewhere", "10.1.9.5"), ("frontfrontfront", "10.1.1.5"))
    service = BalancedService("s", "web", (), members, (), virtual)
    return ingress_script(NetworkConfiguration(networks=(front, back), services=(service,)))


def test_a_virtual_address_is_balanced_for_both_protocols_and_any_port() -> None:
    assert chain(networks_script(), "virtual") == [
        f"ip daddr 10.1.1.5 meta l4proto tcp {BEGINS} jump {{",
        "meta l4proto tcp numgen inc mod 2 == 0 ct mark set 0x5301010b dnat to 10.1.1.11",
        "meta l4proto tcp ct mark set 0x5301010c dnat to 10.1.1.12",
        "}",
        "ip daddr 10.1.1.5 meta l4proto udp jump {",
        "meta l4proto udp numgen inc mod 2 == 0 ct mark set 0x5301010b dnat to 10.1.1.11",
        "meta l4proto udp ct mark set 0x5301010c dnat to 10.1.1.12",
        "}",
    ]


def test_only_members_of_its_network_reach_a_virtual_address() -> None:
    assert chain(networks_script(), "members") == [
        'iifname "sw-frontfrontfr" ip daddr 10.1.1.0/24 jump virtual',
    ]


@pytest.mark.parametrize("serving", [0, 2])
def test_what_is_not_balanced_never_reaches_the_nodes_own_servers(serving: int) -> None:
    assert chain(networks_script(serving=serving), "refused") == [
        "ip daddr 10.1.1.5 meta l4proto tcp reject with tcp reset",
        "ip daddr 10.1.1.5 meta l4proto udp reject",
    ]


def test_neighbour_requests_for_a_virtual_address_pass_no_tunnel() -> None:
    text = networks_script()
    for direction in ("iifname", "oifname"):
        for role in ("daddr", "saddr"):
            assert f'{direction} "vx-*" arp {role} ip 10.1.1.5 drop' in text
    assert "10.1.9.5" not in text


def test_networks_are_kept_apart() -> None:
    text = networks_script(internal=True)
    assert chain(text, "apart") == [
        'iifname "sw-frontfrontfr" oifname != "sw-frontfrontfr" oifname "sw-*" drop',
        'iifname "sw-frontfrontfr" oifname != "sw-frontfrontfr" drop',
        'oifname "sw-frontfrontfr" iifname != "sw-frontfrontfr" drop',
        'iifname "sw-backbackback" oifname != "sw-backbackback" oifname "sw-*" drop',
    ]
    assert 'iifname "sw-*" iifname != "sw-backbackback" ip daddr 10.1.2.0/24 drop' in text


def test_the_bridges_addresses_are_those_of_networks_that_are_carried() -> None:
    front = AttachedNetwork("frontfrontfront", "front", "10.1.1.0/24", 4100, "10.1.1.2")
    service = BalancedService("s", "web", (), (), (), (("elsewhere", "10.1.9.5"), ("frontfrontfront", "10.1.1.5")))
    configuration = NetworkConfiguration(networks=(front,), services=(service,))
    assert virtual_addresses(configuration) == (("sw-frontfrontfr", "10.1.1.5"),)
