"""Which address a node listens on and advertises, and the words for what cannot be."""

import pytest

from orchestrator.addresses import advertised, check_listening
from orchestrator.model.errors import InvalidArgument

KNOWN = [("lo", "127.0.0.1"), ("eth0", "10.0.0.5")]


@pytest.mark.parametrize("wanted", ["0.0.0.0", "0.0.0.0:2377", "10.0.0.5", "eth0", "eth0:2377"])
def test_where_one_can_listen(wanted: str) -> None:
    check_listening(wanted, KNOWN)


@pytest.mark.parametrize("wanted", ["nonsense", "nonsense::1", "eth1:2377", "0.0.0.0:99999", "eth0:x", ":2377"])
def test_where_one_cannot_listen(wanted: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^listen address must be an IP address or network interface"):
        check_listening(wanted, KNOWN)


@pytest.mark.parametrize("wanted", ["", "eth0", "10.0.0.5:2377"])
def test_the_advertised_address(wanted: str) -> None:
    assert advertised(wanted, KNOWN) == "10.0.0.5"


@pytest.mark.parametrize("wanted", ["nonsense", "0.0.0.0", "0.0.0.0:2377"])
def test_what_cannot_be_advertised(wanted: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^advertise address must be a non-zero IP address"):
        advertised(wanted, KNOWN)
