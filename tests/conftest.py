"""Shared by all tests: only what needs neither Docker nor a network."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

ON_A_CLUSTER = ("cluster", "gate", "benchmark", "soak")

LEFT_OPEN = ("ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
"""docker-py leaves sockets, those of `exec` and of refused requests, to the garbage collector."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not for the gate unless -m names it: as a default of -m, any other -m would bring it back."""
    unasked = {marker for marker in ("benchmark", "soak") if marker not in config.option.markexpr}
    left_out = [item for item in items if any(item.get_closest_marker(marker) for marker in unasked)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=_turn)
    for item in items:
        if any(item.get_closest_marker(marker) for marker in ON_A_CLUSTER):
            item.add_marker(pytest.mark.filterwarnings(*LEFT_OPEN))


def _turn(item: pytest.Item) -> int:
    """What needs no cluster comes first: it fails within minutes, and no cluster's doings reach into it.

    Those with a cluster of their own come next, while no shared one takes its part of the machine.
    """
    if {"unit", "simulation", "plugin"} & set(item.path.parts):
        return 0
    return 1 if "fresh_swarm" in getattr(item, "fixturenames", ()) else 2
