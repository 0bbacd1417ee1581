"""Which subnets and addresses a network may have. What its user is told is `tests/unit/api/test_networks.py`'s."""

import pytest

from orchestrator.control.network_admission import NetworkWish, admit_network
from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import Forbidden, InvalidArgument
from orchestrator.model.network import Network
from tests.builders import Scene, a_node

SUBNET = "10.7.0.0/24"


def admitted(**wish: object) -> Network:
    """In a cluster of one node, which has the address 10.9.0.1."""
    scene = Scene([a_node("n1")])
    return admit_network(scene.state, Cluster("c"), NetworkWish("webnet", **wish), "w")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subnet", "message"),
    [
        ("10.9.0.0/24", "node host-n1 has the address 10.9.0.1, and would not be reached any more"),
        ("127.0.0.0/24", "127.0.0.0/8 is kept for loopback"),
        ("0.0.0.0/8", "0.0.0.0/8 is kept for this host"),
        ("224.0.0.0/24", "224.0.0.0/4 is kept for multicast"),
        ("255.255.255.0/24", "240.0.0.0/4 is kept for broadcast and future use"),
        ("0.0.0.0/0", "0.0.0.0/8 is kept for this host"),
        ("10.7.0.0/30", "an overlay network needs at least a /29"),
    ],
)
def test_subnets_that_no_network_can_have(subnet: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"invalid subnet {subnet}: {message}"):
        admitted(subnet=subnet)


@pytest.mark.parametrize(
    "wish",
    [
        {"gateway": "10.7.0.0"},
        {"gateway": "10.7.0.255"},
        {"reserved_addresses": (("nas", "10.7.0.0"),)},
    ],
)
def test_the_ends_of_a_subnet_are_no_addresses(wish: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match=r"it is the first or the last address of 10\.7\.0\.0/24"):
        admitted(subnet=SUBNET, **wish)


@pytest.mark.parametrize(
    "wish",
    [
        {"gateway": "10.7.0.9", "reserved_addresses": (("nas", "10.7.0.9"),)},
        {"reserved_addresses": (("nas", "10.7.0.9"), ("printer", "10.7.0.9"))},
    ],
)
def test_an_address_is_kept_once(wish: dict[str, object]) -> None:
    with pytest.raises(Forbidden, match=r"auxiliary address 10\.7\.0\.9: Address already in use"):
        admitted(subnet=SUBNET, **wish)


@pytest.mark.parametrize(
    "wish",
    [
        {"address_range": "10.7.0.0/31"},
        {"address_range": "10.7.0.255/32"},
        {"address_range": "10.7.0.8/32", "gateway": "10.7.0.8"},
        {"address_range": "10.7.0.8/31", "reserved_addresses": (("a", "10.7.0.8"), ("b", "10.7.0.9"))},
    ],
)
def test_a_range_without_a_free_address_is_refused(wish: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match="no address of it can be given out"):
        admitted(subnet=SUBNET, **wish)


def test_what_can_be_is_kept_as_asked() -> None:
    network = admitted(
        subnet=SUBNET, gateway="10.7.0.254", address_range="10.7.0.8/31", reserved_addresses=(("nas", "10.7.0.8"),)
    )
    assert (network.subnet, network.gateway, network.address_range) == (SUBNET, "10.7.0.254", "10.7.0.8/31")
    assert network.reserved_addresses == (("nas", "10.7.0.8"),)
