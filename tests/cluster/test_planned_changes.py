"""Every change that is planned loses nothing, from a service that dies at once, with a connection for each request.

`test_rolling_update`, `test_scale_and_drain`, `test_single_replica`, `test_slow_requests`, `test_healthcheck` and
`test_source_ports` have the others.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.service import Service
from tests.cluster.command_line import begin_update, noted, succeed, wait_for_update
from tests.cluster.conftest import COMMAND, IMAGE, QUICK
from tests.cluster.losses import assert_nothing_lost

pytestmark = pytest.mark.cluster

OLD, NEW = f"{IMAGE}:1", f"{IMAGE}:2"
NOWHERE = "no-such-image:1"
USERS = 10
# Both engines give a task that never starts this long before they judge the update.
WATCH = ["--update-monitor", "1s", "--rollback-monitor", "1s"]


@pytest.mark.gate
def test_one_change_after_another_loses_nothing(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3, env=QUICK, order="start-first")

    with load(web, users=USERS, requests=2000, targets="all-nodes") as run:
        web.scale(6)
        web.scale(2)
        web.update(image=NEW)
        web.rollback()
        drained = web.nodes()[-1]
        swarm.drain(drained)
        swarm.activate(drained)
        web.update(force=True)

    assert_nothing_lost(run)


def test_an_update_of_all_at_once_loses_nothing(deploy: Callable[..., Service], load: Load) -> None:
    """With `--update-parallelism 0`."""
    web = deploy(replicas=3, parallelism=0, env=QUICK)

    with load(web, users=USERS, requests=500, targets="all-nodes") as run:
        web.update(image=NEW)

    assert_nothing_lost(run)


@pytest.mark.parametrize(
    ("action", "state"), [("rollback", "rollback_completed"), ("pause", "paused"), ("continue", "completed")]
)
def test_an_update_that_fails_loses_nothing(
    swarm: Cluster, deploy: Callable[..., Service], load: Load, action: str, state: str
) -> None:
    web = deploy(replicas=3, env=QUICK, order="start-first")
    # What goes on all the same ends when it may try no more.
    once = ["--restart-condition", "none", "--update-failure-action", action, *WATCH]

    with load(web, users=USERS, requests=500, targets="all-nodes") as run:
        with noted(swarm, f"update that fails, {action}"):
            begin_update(swarm.leader, web.name, "--image", NOWHERE, *once)
            wait_for_update(swarm.leader, web.name, state)
        # It is put right, whatever became of it.
        with noted(swarm, "update"):
            begin_update(swarm.leader, web.name, "--image", NEW, "--update-failure-action", "pause")
            wait_for_update(swarm.leader, web.name, "completed")

    assert_nothing_lost(run)


def test_two_services_updated_at_once_lose_nothing(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3, env=QUICK)
    api = swarm.deploy(OLD, name="api", command=COMMAND, replicas=3, env=QUICK, publish={8081: 8080})

    with (
        load(web, users=USERS, requests=500, targets="all-nodes") as of_web,
        load(api, users=USERS, requests=500, targets="all-nodes") as of_api,
    ):
        for service in (web, api):
            begin_update(swarm.leader, service.name, "--image", NEW)
        for service in (web, api):
            service.wait_converged(NEW)

    for run in (of_web, of_api):
        assert_nothing_lost(run)


def test_removal_answers_what_is_in_flight_and_refuses_the_rest(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    web = deploy(replicas=3)

    with load(web, users=USERS, requests=100, targets="all-nodes") as run:
        succeed(swarm.leader, "service", "rm", web.name)

    assert run.ledger.counts["answered"] + run.ledger.counts["refused"] == run.ledger.sent, run.explain()
    assert run.ledger.counts["refused"] > 0, run.explain()
    # At once: nobody hangs on an address that nobody answers any more.
    assert max(loss.record.seconds for loss in run.ledger.losses) < 1.0, run.explain()


def test_a_drain_has_its_deadline_and_says_what_it_cut_off(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=2, env={"BLOCK_SECONDS": "8"}, labels={"swarm.drain-timeout": "2s"})

    with load(web, users=USERS, requests=40, targets="all-nodes") as run:
        web.update(image=NEW)

    assert run.lost > 0, run.explain()
    assert all(loss.received for loss in run.ledger.losses), run.explain()
    errors = [task["Status"].get("Err", "") for task in web.tasks() if task["DesiredState"] == "shutdown"]
    cut_off = [int(error.split(":")[1].split()[0]) for error in errors if "drain timeout" in error]
    # One that ended between the last look and the stop is not lost.
    assert run.lost <= sum(cut_off) <= run.lost + len(cut_off), (errors, run.explain())


def test_kept_connections_lose_only_what_was_sent_as_they_were_cut(deploy: Callable[..., Service], load: Load) -> None:
    """A connection outlives its task's withdrawal; when the drain timeout ends it, at most the request on it is lost.

    Who keeps connections must send again what was not received: RFC 9112, section 9.3.1.
    """
    web = deploy(replicas=3, env=QUICK, labels={"swarm.drain-timeout": "3s"})

    with load(web, users=USERS, requests=1000, targets="all-nodes", keep_alive=True) as run:
        web.update(image=NEW)

    assert all(loss.record.reused for loss in run.ledger.losses), run.explain()
    # Each connection is cut once with each task it leads to, and there are three.
    assert run.lost <= 3 * USERS, run.explain()
    assert run.duplicates == 0, run.explain()


def test_kept_connections_to_a_service_that_closes_them_itself_lose_nothing(
    deploy: Callable[..., Service], load: Load
) -> None:
    web = deploy(replicas=3, env={**QUICK, "GRACEFUL": "1"}, labels={"swarm.drain-timeout": "3s"})

    with load(web, users=USERS, requests=1000, targets="all-nodes", keep_alive=True) as run:
        web.update(image=NEW)

    assert_nothing_lost(run)
