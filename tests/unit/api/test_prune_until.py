"""What the filter `until` of a prune means."""

import pytest

from orchestrator.api.errors import BadRequest
from orchestrator.api.prune_until import until_moment

NOW = 1_795_459_831.5


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24h", NOW - 86400),
        ("1h30m", NOW - 5400),
        ("1.5h500ms", NOW - 5400.5),
        ("1795459800.25", 1_795_459_800.25),
        ("2026-11-23T18:50:00Z", 1_795_459_800),
        ("2026-11-23T19:50:00+01:00", 1_795_459_800),
        ("2026-11-23T18:50:00", 1_795_459_800),
        ("2026-11-23", 1_795_392_000),
        ("24", 24),
    ],
)
def test_moments(text: str, moment: float) -> None:
    assert until_moment(text, NOW) == pytest.approx(moment, abs=1e-3)


@pytest.mark.parametrize("text", ["", "soon", "h", "1d"])
def test_nonsense(text: str) -> None:
    with pytest.raises(BadRequest, match="failed to parse"):
        until_moment(text, NOW)
