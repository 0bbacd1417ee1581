"""The switches users write as labels."""

import pytest

from orchestrator.model.errors import InvalidArgument
from orchestrator.model.zero_loss import ZeroLossSwitches, parse_duration, switches_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("1m30s", 90.0), ("1h", 3600.0), ("1.5s", 1.5), ("0s", 0.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "-5s", "5 s", "1d", "5sx"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid duration"):
        parse_duration(text)


def test_everything_is_on_by_default() -> None:
    assert switches_of((("other", "label"),)) == ZeroLossSwitches(True, True, True, 60.0, 120.0)


def test_each_switch() -> None:
    labels = (("swarm.drain", "off"), ("swarm.drain-timeout", "5s"), ("swarm.readiness", "off"))
    assert switches_of((*labels, ("swarm.withdraw", "off"))) == ZeroLossSwitches(False, False, False, 5.0, 120.0)


def test_a_switch_is_on_or_off() -> None:
    with pytest.raises(InvalidArgument, match=r'invalid label swarm\.drain=no: write "on" or "off"'):
        switches_of((("swarm.drain", "no"),))
