"""A new version that serves and then fails: the update rolls back, and what its tasks still answer is not lost.

A version that never serves is among `test_planned_changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load, LoadRun
from pytest_swarm.service import Service
from tests.cluster.command_line import begin_update, noted, tasks_of, wait_for_update
from tests.cluster.conftest import IMAGE, QUICK
from tests.cluster.losses import assert_nothing_lost

pytestmark = pytest.mark.cluster

NEW = f"{IMAGE}:2"
USERS = 10
REQUESTS = 1500
ROLL_BACK = ["--update-failure-action", "rollback", "--update-monitor", "5s"]
HEALTHY_ONCE = [
    "--health-cmd=test ! -e /tmp/seen && : > /tmp/seen",
    "--health-interval=500ms",
    "--health-retries=2",
]
"""Healthy the first time it is asked, and never again."""
DIES_SOON = [
    "--entrypoint=sh -c '/docker-swarm-test & sleep 1; exit 3'",
    "--restart-max-attempts=1",
    "--update-delay=2s",
]
"""Serves for a second and then fails; the delay is longer than that, so that one replica has died before the next."""


class RollBack(Protocol):
    """Under load, update to a version that fails, until it is rolled back: the load's run and the tasks that failed."""

    def __call__(self, *update_options: str) -> tuple[LoadRun, Sequence[Mapping[str, str]]]: ...


@pytest.fixture(params=["stop-first", "start-first"])
def roll_back(request: pytest.FixtureRequest, swarm: Cluster, deploy: Callable[..., Service], load: Load) -> RollBack:
    def update(*options: str) -> tuple[LoadRun, Sequence[Mapping[str, str]]]:
        web = deploy(replicas=3, env=QUICK, order=request.param)
        with load(web, users=USERS, requests=REQUESTS, targets="all-nodes") as run, noted(swarm, "rollback by failure"):
            begin_update(swarm.leader, web.name, "--image", NEW, *ROLL_BACK, *options)
            wait_for_update(swarm.leader, web.name, "rollback_completed")
        tasks = tasks_of(swarm.leader, web.name)
        return run, [task for task in tasks if task["Image"] == NEW and task["CurrentState"].startswith("Failed")]

    return update


def test_a_version_that_turns_unhealthy_is_rolled_back_and_nothing_is_lost(roll_back: RollBack) -> None:
    run, failed = roll_back(*HEALTHY_ONCE)

    assert_nothing_lost(run)
    assert any("unhealthy container" in task["Error"] for task in failed)


def test_a_version_that_dies_costs_no_more_than_it_had_in_flight(roll_back: RollBack) -> None:
    run, failed = roll_back(*DIES_SOON)

    assert failed
    assert {event.version for loss in run.ledger.losses for event in loss.received} <= {"2"}
    # What no task received was refused where one had just died.
    assert {loss.request_class for loss in run.ledger.losses} <= {"refused", "reset", "closed-early"}
    assert run.lost <= USERS * len(failed)
