"""What a watch holds answers against."""

import pytest

from pytest_swarm.dns_watch import is_within


@pytest.mark.parametrize(("address", "expected"), [("10.0.1.7", True), ("10.0.0.7", False), ("10.9.0.1", True)])
def test_only_addresses_of_the_network_count(address: str, expected: bool) -> None:
    network = {"IPAM": {"Config": [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}, {"Subnet": "10.9.0.0/16"}]}}
    assert is_within(network, address) is expected
