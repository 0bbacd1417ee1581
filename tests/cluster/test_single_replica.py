"""A service of one replica: start-first loses nothing; stop-first has a gap, only while the task is replaced."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.load import Load
from pytest_swarm.service import Service

pytestmark = pytest.mark.cluster

ANSWER_SECONDS = 1.0
# Replacements are seen by polling five times a second; a user that was refused pauses for 0.2 s.
SLACK = 0.5


def test_start_first_loses_nothing(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=1, order="start-first")

    with load(web, requests=200, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


def test_stop_first_reports_its_gap(
    deploy: Callable[..., Service], load: Load, record_property: Callable[[str, object], None]
) -> None:
    web = deploy(replicas=1, order="stop-first")

    with load(web, requests=400, targets="all-nodes") as run:
        web.update(image="docker-swarm-test:2")

    record_property("longest_gap_seconds", run.longest_gap)
    record_property("lost", run.lost)
    assert run.versions == {"1", "2"}
    assert run.duplicates == 0, run.explain()
    # Whoever comes while there is no task is told so at once; nobody who was let in is dropped.
    assert run.ledger.counts["refused"] == run.lost, run.explain()
    (update,) = run.operations
    (replacement,) = update.replacements
    for loss in run.ledger.losses:
        assert replacement.started - SLACK < loss.record.finished < replacement.finished + SLACK, loss.story()
    # From the last answer of the old task to the first one of the new task.
    assert run.longest_gap < replacement.finished - replacement.started + ANSWER_SECONDS + SLACK
