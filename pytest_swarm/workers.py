"""Under pytest-xdist clusters and loads are in the workers, and the report is made where they all end.

Each worker boots a cluster of its own, as its session-scoped fixtures are its own.
"""

from __future__ import annotations

from typing import Any

import pytest

from pytest_swarm.session import Session, session_of

_KEY = "swarm"


def send_outcome(config: pytest.Config) -> None:
    """In a worker at its end: hand over what it has to report."""
    output = getattr(config, "workeroutput", None)
    if output is not None:
        from pytest_swarm.report.outcome import outcome_of, to_message

        output[_KEY] = to_message(outcome_of(session_of(config)))


def take_outcome(session: Session, node: Any) -> None:
    """In the process that reports: keep what a worker has handed over; one that crashed has handed over nothing."""
    message = getattr(node, "workeroutput", {}).get(_KEY)
    if message is not None:
        from pytest_swarm.report.outcome import from_message

        session.outcomes_of_workers.append(from_message(message))
