"""What nodes and daemons that die cost a service under the article's load, and what they leave of the cluster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from docker.errors import DockerException

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load, LoadRun
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until

pytestmark = pytest.mark.cluster

NEW_IMAGE = "docker-swarm-test:2"
REPLACED_SECONDS = 60.0


def others(swarm: Cluster, *nodes: Node) -> tuple[str, ...]:
    """The names of all nodes but these."""
    return tuple(node.name for node in swarm.nodes if node not in nodes)


def report(what: str, run: LoadRun) -> None:
    """Print the figures of a run."""
    print(f"{what}: {run.ledger.sum_line()}; longest gap {run.longest_gap:.2f} s\n{run.explain()}")  # noqa: T201


def running(web: Service, image: str = "", *, on: tuple[str, ...]) -> list[str]:
    """The ids of the tasks that run and are to run, with this image if one is named, on these nodes."""
    ids = {node["ID"] for node in web.cluster.api.nodes() if node["Description"]["Hostname"] in on}
    return [
        task["ID"]
        for task in web.tasks()
        if task["DesiredState"] == task["Status"]["State"] == "running"
        and task["NodeID"] in ids
        and task["Spec"]["ContainerSpec"]["Image"].startswith(image)
    ]


def wait_running(web: Service, count: int, image: str = "", *, on: tuple[str, ...]) -> None:
    """Wait until at least so many tasks run there."""

    def look() -> Done[None] | NotYet:
        try:
            found = len(running(web, image, on=on))
        except (DockerException, OSError) as error:  # a leader is being elected
            return NotYet(str(error))
        return Done(None) if found >= count else NotYet(f"{found} of {count} run")

    wait_until(look, what=f"{count} tasks on {', '.join(on)}", timeout=REPLACED_SECONDS)


def containers(swarm: Cluster, web: Service) -> set[str]:
    """The ids of the service's containers on all nodes."""
    filters = {"label": f"com.docker.swarm.service.id={web.id}"}
    return {each["Id"] for node in swarm.nodes for each in node.client.api.containers(filters=filters)}


def update_while_the_leader_dies(swarm: Cluster, web: Service) -> None:
    """Kill the leader once the first task is replaced; the update must end all the same."""
    with ThreadPoolExecutor(1) as pool:
        update = pool.submit(web.update, image=NEW_IMAGE)
        wait_running(web, 1, NEW_IMAGE, on=others(swarm))
        with swarm.kill_leader() as fault:
            wait_running(web, web.deployment.replicas, NEW_IMAGE, on=others(swarm, fault.node))
        update.result()


def test_the_leader_dies_during_an_update(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    leader = swarm.leader
    elsewhere = [f"node.hostname!={leader.name}"]
    web = deploy(replicas=3, constraints=elsewhere)

    with load(web, users=5, requests=250, targets=others(swarm, leader)) as run:
        update_while_the_leader_dies(swarm, web)

    report("leader killed during an update", run)
    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()


def test_a_leader_with_tasks_dies_during_an_update(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    leader = swarm.leader
    web = deploy(replicas=4)

    with load(web, users=5, requests=600, targets=others(swarm, leader), connect_timeout=2.0) as run:
        update_while_the_leader_dies(swarm, web)

    report("leader with a task killed during an update", run)
    assert run.duplicates == 0, run.explain()


def test_a_worker_dies_under_load(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    worker = swarm.nodes[-1]
    survivors = others(swarm, worker)
    web = deploy(replicas=4)
    before = running(web, on=(worker.name,))
    assert before

    with load(web, requests=400, targets=survivors, connect_timeout=2.0) as run:
        with swarm.kill(worker):
            wait_running(web, 4, on=survivors)
        web.wait_converged()

    report("worker killed", run)
    assert run.duplicates == 0, run.explain()
    assert not set(before) & set(running(web, on=others(swarm)))


def test_killed_daemons_lose_nothing(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    if swarm.engine.name == "docker":
        pytest.skip("Docker's swarm mode has no daemon of its own")
    web = deploy(replicas=3)
    before = containers(swarm, web)

    with load(web, requests=300, targets="all-nodes") as run:
        for node in swarm.nodes:
            swarm.kill_swarmd(node).heal()

    report("every swarmd killed", run)
    assert run.lost == 0, run.explain()
    assert containers(swarm, web) == before


def test_a_killed_engine_leaves_the_service_whole(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3)
    before = containers(swarm, web)

    with load(web, requests=300, targets="all-nodes") as run:
        swarm.kill_engine(web.nodes()[-1]).heal()
        web.wait_converged()

    report("engine killed", run)
    print(f"{len(before & containers(swarm, web))} of {len(before)} containers run on")  # noqa: T201
    assert run.duplicates == 0, run.explain()


def test_all_nodes_die_at_once(swarm: Cluster, deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3)
    identities = {node["ID"] for node in swarm.api.nodes()}
    spec = web.inspect()["Spec"]

    faults = [swarm.kill(node) for node in swarm.nodes]
    swarm.heal()
    web.wait_converged()

    print(f"all nodes: down for {max(fault.seconds for fault in faults):.1f} s")  # noqa: T201
    assert {node["ID"] for node in swarm.api.nodes()} == identities
    assert web.inspect()["Spec"] == spec
    with load(web, requests=60, targets="all-nodes") as run:
        pass
    assert run.lost == 0, run.explain()
