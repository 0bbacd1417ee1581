"""The switches of the zero-loss machinery, read from a service's labels.

Each closes one hole of a rolling update and can be opened again, so that a test can show what it is worth.
"""

import re
from dataclasses import dataclass

from orchestrator.model.errors import InvalidArgument
from orchestrator.model.labels import Labels

DEFAULT_DRAIN_TIMEOUT_S = 60.0
DEFAULT_READINESS_TIMEOUT_S = 120.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_LONGEST_DURATION = 64
"""Characters; finding the parts takes the square of them."""
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class ZeroLossSwitches:
    """What a service's labels ask for; everything is on by default."""

    readiness: bool = True
    """`swarm.readiness`: an endpoint joins only when it accepts connections or is healthy."""
    withdraw: bool = True
    """`swarm.withdraw`: a task stops only after every live node acknowledged that it left the balancers."""
    drain: bool = True
    """`swarm.drain`: a withdrawn task stops only when its connections are gone."""
    drain_timeout: float = DEFAULT_DRAIN_TIMEOUT_S
    """`swarm.drain-timeout`: seconds after which open connections no longer hold a task."""
    readiness_timeout: float = DEFAULT_READINESS_TIMEOUT_S
    """`swarm.readiness-timeout`: seconds a started task may take to accept connections before it failed."""


def parse_duration(text: str) -> float:
    """Seconds of a Go-style duration such as "1m30s" or "500ms".

    Raises `InvalidArgument` for anything else.
    """
    parts = _DURATION.findall(text) if len(text) <= _LONGEST_DURATION else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidArgument(f'invalid duration "{text}": write it as 500ms, 30s or 1m30s')
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def _is_on(labels: dict[str, str], name: str) -> bool:
    value = labels.get(name, "on")
    if value not in ("on", "off"):
        raise InvalidArgument(f'invalid label {name}={value}: write "on" or "off"')
    return value == "on"


def _seconds(labels: dict[str, str], name: str, default: float) -> float:
    return parse_duration(labels[name]) if name in labels else default


def switches_of(labels: Labels) -> ZeroLossSwitches:
    """The switches a service's labels ask for. Raises `InvalidArgument` on a value that means nothing."""
    given = dict(labels)
    return ZeroLossSwitches(
        readiness=_is_on(given, "swarm.readiness"),
        withdraw=_is_on(given, "swarm.withdraw"),
        drain=_is_on(given, "swarm.drain"),
        drain_timeout=_seconds(given, "swarm.drain-timeout", DEFAULT_DRAIN_TIMEOUT_S),
        readiness_timeout=_seconds(given, "swarm.readiness-timeout", DEFAULT_READINESS_TIMEOUT_S),
    )
