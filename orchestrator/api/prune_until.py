"""The moment that a prune's filter `until` names: what was made later is spared. Pure.

A duration before now in Go's form ("24h", "1h30m"), seconds since the epoch, or an RFC 3339 time with fewer parts where
wanted, in UTC unless it says otherwise (moby's `api/types/time/timestamp.go`).
"""

import re
from datetime import UTC, datetime

from orchestrator.api.errors import BadRequest

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)"
_DURATION = re.compile(rf"(?:{_PART})+")
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]{1,9})?")


def until_moment(text: str, now: float) -> float:
    """Seconds since the epoch; `now` too. Raises `BadRequest` for what is no time."""
    if _DURATION.fullmatch(text):
        return now - sum(float(number) * _UNITS_S[unit] for number, unit in re.findall(_PART, text))
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"failed to parse value as time or duration: {text!r}") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
