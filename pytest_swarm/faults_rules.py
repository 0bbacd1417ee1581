"""What a network fault means: which packets each node throws away, and which managers can still be asked. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

# A table of its own: the orchestrator's rules stay as they are, and the data path with them.
TABLE = "inet swarm_faults"
_RANDOM_RANGE = 1_000_000
_LEAST_PERCENT = 100 / _RANDOM_RANGE


@dataclasses.dataclass(frozen=True)
class Cut:
    """Packets from these nodes to those are thrown away, so many of a hundred; nodes are given by name.

    What a node sends to itself, its sockets in the file system and its clients outside of the cluster are not touched.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    percent: float = 100.0

    @property
    def is_whole(self) -> bool:
        return self.percent >= 100.0


def partition_cuts(a: Sequence[str], b: Sequence[str], *, one_way: bool) -> tuple[Cut, ...]:
    """Cut all from `a` to `b`, and unless it is `one_way` all from `b` to `a`.

    Raises ValueError when a side is empty or a node is on both.
    """
    _require_sides(a, b)
    there = Cut(tuple(a), tuple(b))
    return (there,) if one_way else (there, Cut(tuple(b), tuple(a)))


def drop_cuts(percent: float, a: Sequence[str], b: Sequence[str]) -> tuple[Cut, ...]:
    """Lose so many of a hundred packets between `a` and `b`, in both directions.

    Raises ValueError when the percentage is not from 0.0001 to 100, and as `partition_cuts`.
    """
    if not _LEAST_PERCENT <= percent <= 100.0:
        raise ValueError(
            f"{percent:g} percent of all packets cannot be dropped: "
            f"it must be at least {_LEAST_PERCENT:g} and at most 100"
        )
    _require_sides(a, b)
    return Cut(tuple(a), tuple(b), percent), Cut(tuple(b), tuple(a), percent)


def rule_set(node: str, cuts: Iterable[Cut], addresses: Mapping[str, str]) -> str:
    """Return what `nft -f` makes of a node under these cuts, in one step; without a cut that concerns it, no table.

    Only receivers drop: a sender whose own kernel drops would be told so by an error, which no broken line does.
    """
    rules = [
        f"ip saddr {addresses[source]} {_verdict(cut)}" for cut in cuts if node in cut.targets for source in cut.sources
    ]
    # Deleting needs a table to be there, so it is made first.
    lines = [f"table {TABLE} {{ }}", f"delete table {TABLE}"]
    if rules:
        # Before connection tracking, so that what is dropped leaves no trace in it.
        hook = "type filter hook prerouting priority raw; policy accept;"
        lines += [f"table {TABLE} {{", "chain arriving {", hook, *rules, "}", "}"]
    return "\n".join(lines)


def usable_managers(managers: Sequence[str], down: Collection[str], cuts: Iterable[Cut]) -> list[str]:
    """Return the managers in the order to ask them: those with most fellows first, and none that is down.

    With all of them down, all are returned: an error of theirs says more than none.
    """
    severed = {
        frozenset((source, target)) for cut in cuts if cut.is_whole for source in cut.sources for target in cut.targets
    }
    up = [name for name in managers if name not in down]

    def fellows(name: str) -> int:
        return sum(frozenset((name, other)) not in severed for other in up if other != name)

    return sorted(up, key=lambda name: -fellows(name)) or list(managers)


def _require_sides(a: Sequence[str], b: Sequence[str]) -> None:
    if not a or not b:
        raise ValueError("each side needs a node")
    both = [name for name in a if name in b]
    if both:
        raise ValueError(f"{', '.join(both)} cannot be on both sides")


def _verdict(cut: Cut) -> str:
    if cut.is_whole:
        return "drop"
    return f"numgen random mod {_RANDOM_RANGE} < {round(cut.percent / 100 * _RANDOM_RANGE)} drop"
