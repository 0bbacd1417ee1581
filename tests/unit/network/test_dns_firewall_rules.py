"""Who may ask at a gateway, as rules."""

from orchestrator.model.names import NetworkNames
from orchestrator.model.network import AttachedNetwork, NetworkConfiguration
from orchestrator.network.dns_firewall_rules import firewall_script
from orchestrator.network.overlay_rules import bridge_name

MESH = AttachedNetwork("mesh", "ingress", "10.0.0.0/24", 4096, "10.0.0.2")
NET = AttachedNetwork("net1", "webnet", "10.0.1.0/24", 4097, "10.0.1.2")


def test_a_gateway_with_names_is_guarded_and_untracked() -> None:
    script = firewall_script(NetworkConfiguration(1, networks=(MESH, NET), names=(NetworkNames("net1", "webnet"),)))
    ports = "meta l4proto { tcp, udp } th"
    guard = f'ip daddr 10.0.1.2 {ports} dport 53 iifname != {{ "lo", "{bridge_name("net1")}" }} drop'
    assert guard in script
    assert script.count(f"ip daddr 10.0.1.2 {ports} dport 53 notrack") == 2
    assert script.count(f"ip saddr 10.0.1.2 {ports} sport 53 notrack") == 2
    assert "10.0.0.2" not in script


def test_without_names_there_are_no_rules() -> None:
    assert "53" not in firewall_script(NetworkConfiguration(1, networks=(MESH,)))
