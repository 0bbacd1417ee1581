"""What an update under the article's load loses while managers die, stand still, have no room or the wrong time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.phases import Operation
from pytest_swarm.service import Service
from tests.cluster.faults.tasks import containers, others, report, running, wait_running

pytestmark = pytest.mark.cluster

NEW_IMAGE = "docker-swarm-test:2"
UPDATE_SECONDS = 60.0
"""Of three tasks, four times the usual."""


@contextmanager
def updating(swarm: Cluster, web: Service) -> Iterator[Future[Operation]]:
    """Roll out a new image; the body begins when the first new task runs, and in the end the update must end too."""
    with ThreadPoolExecutor(1) as pool:
        update = pool.submit(web.update, image=NEW_IMAGE)
        wait_running(web, 1, NEW_IMAGE, on=others(swarm))
        yield update
        update.result()


def update_while_the_leader_dies(swarm: Cluster, web: Service) -> None:
    """Kill the leader once the first task is replaced; the others run new tasks while it is dead."""
    with updating(swarm, web), swarm.kill_leader() as fault:
        wait_running(web, web.deployment.replicas, NEW_IMAGE, on=others(swarm, fault.node))


def test_the_leader_dies_during_an_update(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    leader = swarm.leader
    elsewhere = [f"node.hostname!={leader.name}"]
    web = deploy(replicas=2, constraints=elsewhere)

    with load(web, users=5, requests=160, targets=others(swarm, leader)) as run:
        update_while_the_leader_dies(swarm, web)

    report("leader killed during an update", run)
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


@pytest.mark.gate
def test_the_daemon_of_the_leader_dies_during_an_update(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    """Another leads on, or itself when it is back; its node goes on balancing meanwhile."""
    if swarm.engine.name == "docker":
        pytest.skip("Docker's swarm mode has no daemon of its own")
    web = deploy(replicas=2)

    with load(web, users=5, requests=80, targets="all-nodes") as run, updating(swarm, web) as update:
        fault = swarm.kill_swarmd(swarm.leader)
        failover = swarm.failover_seconds(fault)
        seconds = update.result().seconds
        fault.heal()

    report(f"the next leader after {failover:.2f} s, and the update took {seconds:.1f} s", run)
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


def test_a_leader_with_tasks_dies_during_an_update(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    leader = swarm.leader
    web = deploy(replicas=4)

    with load(web, users=5, requests=600, targets=others(swarm, leader), connect_timeout=2.0) as run:
        update_while_the_leader_dies(swarm, web)

    report("leader with a task killed during an update", run)
    assert run.duplicates == 0, run.explain()


def test_a_leader_that_stood_still_during_an_update_gives_no_orders_afterwards(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    """It wakes in the middle of an update that another has ended, and of a service that another has scaled."""
    leader = swarm.leader
    left = others(swarm, leader)
    web = deploy(replicas=2, constraints=[f"node.hostname!={leader.name}"])

    with load(web, requests=250, targets=left) as run, updating(swarm, web), swarm.pause(leader):
        wait_running(web, 2, NEW_IMAGE, on=left)
        web.scale(3)
        before = sorted(running(web, on=left)), containers(swarm, web, on=left)

    report("the leader stood still during an update", run)
    assert (sorted(running(web, on=left)), containers(swarm, web, on=left)) == before
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


def test_a_full_disk_of_the_leader_during_an_update_costs_nothing(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    """Another, whose disk has room, leads on; the update ends while the disk is full."""
    leader = swarm.leader
    if leader.container.exec_run(["mountpoint", "-q", swarm.engine.state_directory()])[0] != 0:
        pytest.skip("this machine has no loop devices")
    web = deploy(replicas=2)

    with (
        load(web, requests=300, targets="all-nodes") as run,
        updating(swarm, web) as update,
        swarm.fill_disk(leader),
    ):
        seconds = update.result().seconds
        web.scale(5)

    report(f"the leader's disk filled up, and the update took {seconds:.1f} s", run)
    assert seconds < UPDATE_SECONDS
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


def test_a_clock_that_jumps_during_an_update_costs_nothing(
    swarm: Cluster, deploy: Callable[..., Service], load: Load
) -> None:
    """An hour ahead, and back: no drain is cut off, and none waits for longer than it must."""
    if swarm.engine.name == "docker":
        pytest.skip("the clock of Docker's engine cannot be set apart from the machine's")
    web = deploy(replicas=3)
    for node in swarm.nodes[: swarm.managers]:
        # The daemon is started again before its clock can jump for the first time.
        swarm.skew_clock(node, 0.0).heal()
    leader = swarm.leader

    with load(web, requests=400, targets="all-nodes") as run, updating(swarm, web) as update:
        with swarm.skew_clock(leader, 3600.0):
            wait_running(web, 2, NEW_IMAGE, on=others(swarm))
        seconds = update.result().seconds

    report(f"the leader's clock jumped by an hour and back, and the update took {seconds:.1f} s", run)
    assert seconds < UPDATE_SECONDS
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()
