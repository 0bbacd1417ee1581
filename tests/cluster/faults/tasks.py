"""Where a service's tasks run while nodes fail, and how they are reached."""

from __future__ import annotations

import re
from collections.abc import Callable

from docker.errors import DockerException

from pytest_swarm.cluster import Cluster
from pytest_swarm.conditions import is_running
from pytest_swarm.engine_client import SERVICE_LABEL
from pytest_swarm.load import LoadRun
from pytest_swarm.node import Node
from pytest_swarm.service import Service
from pytest_swarm.waiting import Done, NotYet, wait_until

REPLACED_SECONDS = 60.0


def others(swarm: Cluster, *nodes: Node) -> tuple[str, ...]:
    """The names of all nodes but these."""
    return tuple(node.name for node in swarm.nodes if node not in nodes)


def report(what: str, run: LoadRun) -> None:
    """Print the figures of a run."""
    print(f"{what}: {run.ledger.sum_line()}; longest gap {run.longest_gap:.2f} s\n{run.explain()}")  # noqa: T201


def running(web: Service, image: str = "", *, on: tuple[str, ...]) -> list[str]:
    """The ids of the tasks that run and are to run, with this image if one is named, on these nodes."""
    ids = {node_id for name, node_id in web.cluster.node_ids().items() if name in on}
    return [
        task["ID"]
        for task in web.tasks()
        if is_running(task) and task["NodeID"] in ids and task["Spec"]["ContainerSpec"]["Image"].startswith(image)
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


def spread_over_all_nodes(swarm: Cluster, deploy: Callable[..., Service]) -> tuple[Service, Node, list[str]]:
    """A service with tasks on every node, the worker that is to fail, and the ids of its tasks."""
    worker = swarm.nodes[-1]
    web = deploy(replicas=4)
    before = running(web, on=(worker.name,))
    assert before
    return web, worker, before


def containers(swarm: Cluster, web: Service, *, on: tuple[str, ...] = ()) -> set[str]:
    """The ids of the service's containers on these nodes, by default all."""
    filters = {"label": f"{SERVICE_LABEL}={web.id}"}
    return {
        each["Id"]
        for node in swarm.nodes
        if not on or node.name in on
        for each in node.client.api.containers(filters=filters)
    }


def mesh_rules(node: Node) -> str:
    """How the node balances published ports."""
    return node.run_command(["nft", "list", "chain", "ip", "swarm", "services"])


def mesh_addresses(service: Service, node: Node) -> list[str]:
    """Where the mesh reaches the service's tasks on that node."""
    there = running(service, on=(node.name,))
    addresses: list[str] = [
        address.partition("/")[0]
        for task in service.tasks()
        if task["ID"] in there
        for attachment in task.get("NetworksAttachments", ())  # none of a task on its node's own port
        if attachment["Network"]["Spec"]["Name"] == "ingress"
        for address in attachment["Addresses"]
    ]
    assert all(re.fullmatch(r"[\d.]+", address) for address in addresses)
    return addresses
