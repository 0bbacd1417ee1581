"""Tunnels: what must change, and above all what must not."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.network import AttachedNetwork, NetworkConfiguration, Peer
from orchestrator.network.overlay_rules import (
    Tunnel,
    TunnelChanges,
    bridge_name,
    desired_tunnels,
    plan_tunnels,
    tunnel_name,
)

NETWORK_ID = "0123456789abcdefghijklmno"
TUNNEL = Tunnel("vx-0123456789ab", 4097, 4789, "sw-0123456789ab", ("10.99.0.2", "10.99.0.3"))


def test_names_fit_into_an_interface_name() -> None:
    assert bridge_name(NETWORK_ID) == "sw-0123456789ab"
    assert tunnel_name(NETWORK_ID) == "vx-0123456789ab"


def test_a_configuration_asks_for_one_tunnel_per_network_to_all_peers() -> None:
    configuration = NetworkConfiguration(
        networks=(AttachedNetwork(NETWORK_ID, "ingress", "10.0.1.0/24", 4097, "10.0.1.2"),),
        peers=(Peer("b", "10.99.0.3"), Peer("a", "10.99.0.2"), Peer("c", "10.99.0.2"), Peer("d", "")),
    )
    assert desired_tunnels(configuration) == (TUNNEL,)
    (elsewhere,) = desired_tunnels(replace(configuration, data_path_port=4242))
    assert elsewhere == replace(TUNNEL, port=4242)
    assert plan_tunnels([elsewhere], [TUNNEL]).delete == (TUNNEL.name,)


def test_nothing_changes_when_all_is_as_it_should_be() -> None:
    assert plan_tunnels([TUNNEL], [TUNNEL]) == TunnelChanges()


def test_a_new_tunnel_is_made_filled_and_attached() -> None:
    assert plan_tunnels([TUNNEL], []) == TunnelChanges(
        create=(TUNNEL,),
        attach=((TUNNEL.name, TUNNEL.bridge),),
        add_peers=((TUNNEL.name, "10.99.0.2"), (TUNNEL.name, "10.99.0.3")),
    )


def test_a_tunnel_of_no_network_is_deleted() -> None:
    assert plan_tunnels([], [TUNNEL]) == TunnelChanges(delete=(TUNNEL.name,))


def test_peers_come_and_go_without_touching_the_tunnel() -> None:
    assert plan_tunnels([TUNNEL], [replace(TUNNEL, peers=("10.99.0.2", "10.99.0.9"))]) == TunnelChanges(
        add_peers=((TUNNEL.name, "10.99.0.3"),), remove_peers=((TUNNEL.name, "10.99.0.9"),)
    )


def test_a_tunnel_that_lost_its_bridge_or_is_down_is_attached_again() -> None:
    attached = TunnelChanges(attach=((TUNNEL.name, TUNNEL.bridge),))
    assert plan_tunnels([TUNNEL], [replace(TUNNEL, bridge="")]) == attached
    assert plan_tunnels([TUNNEL], [replace(TUNNEL, is_up=False)]) == attached


def test_another_identifier_or_port_makes_the_tunnel_anew() -> None:
    for present in (replace(TUNNEL, vni=5000), replace(TUNNEL, port=4790)):
        changes = plan_tunnels([TUNNEL], [present])
        assert changes.delete == (TUNNEL.name,)
        assert changes.create == (TUNNEL,)
        assert changes.add_peers == tuple((TUNNEL.name, peer) for peer in TUNNEL.peers)


def tunnels() -> st.SearchStrategy[list[Tunnel]]:
    peers = st.sets(st.sampled_from(["10.99.0.2", "10.99.0.3", "10.99.0.4"])).map(lambda found: tuple(sorted(found)))
    tunnel = st.builds(
        Tunnel,
        name=st.sampled_from(["vx-a", "vx-b", "vx-c"]),
        vni=st.sampled_from([1, 2]),
        port=st.just(4789),
        bridge=st.sampled_from(["sw-a", "sw-b"]),
        peers=peers,
    )
    return st.lists(tunnel, unique_by=lambda tunnel: tunnel.name)


def carried_out(observed: list[Tunnel], changes: TunnelChanges) -> list[Tunnel]:
    """What a kernel would have after the changes."""
    present = {tunnel.name: tunnel for tunnel in observed if tunnel.name not in changes.delete}
    for tunnel in changes.create:
        present[tunnel.name] = replace(tunnel, peers=(), bridge="", is_up=False)
    for name, peer in changes.add_peers:
        present[name] = replace(present[name], peers=tuple(sorted((*present[name].peers, peer))))
    for name, peer in changes.remove_peers:
        present[name] = replace(present[name], peers=tuple(other for other in present[name].peers if other != peer))
    for name, bridge in changes.attach:
        present[name] = replace(present[name], bridge=bridge, is_up=True)
    return sorted(present.values(), key=lambda tunnel: tunnel.name)


@given(tunnels(), tunnels())
def test_the_changes_lead_from_any_state_to_the_desired_one(desired: list[Tunnel], observed: list[Tunnel]) -> None:
    reached = carried_out(observed, plan_tunnels(desired, observed))
    assert reached == sorted(desired, key=lambda tunnel: tunnel.name)
    assert plan_tunnels(desired, reached) == TunnelChanges()
