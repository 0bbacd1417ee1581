"""From nothing to a cluster whose nodes are all Ready: network, nodes in parallel, swarm init and joins."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_swarm.conditions import nodes_ready
from pytest_swarm.engine_client import new_network
from pytest_swarm.engines.base import Engine
from pytest_swarm.node import Node, NodePlan, start_node
from pytest_swarm.ownership import DIRECTORY_LABEL, Owner
from pytest_swarm.progress import Progress
from pytest_swarm.subnets import SUBNETS, dynamic_range, free_subnets, gateway_of, node_address, parse_routes
from pytest_swarm.waiting import DeadlineExceeded, Done, NotYet, wait_until

if TYPE_CHECKING:
    import docker
    from testcontainers.core.network import Network

MANAGEMENT_PORT = 2377
NODE_ANSWERS_SECONDS = 60.0
READY_SECONDS = 60.0
_SUBNET_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True)
class BootTimes:
    """How long each step of the boot took, in seconds, from the first container start until all nodes were Ready."""

    containers: float
    answering: float
    joined: float
    ready: float

    @property
    def total(self) -> float:
        return self.containers + self.answering + self.joined + self.ready


@dataclasses.dataclass(frozen=True)
class Booted:
    """The raw parts of a running cluster; the managers come first."""

    nodes: tuple[Node, ...]
    network: Network
    times: BootTimes
    docker_version: str
    """That of the Docker daemon in the nodes."""


@dataclasses.dataclass(frozen=True)
class BootPlan:
    """What to boot, managers first. With `is_bare` the nodes are left as they come up, in no swarm yet."""

    host: docker.DockerClient
    owner: Owner
    directory: Path
    image: str
    engine: Engine
    names: Sequence[str]
    managers: int
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """More labels for its network."""
    is_bare: bool = False


def node_names(count: int) -> tuple[str, ...]:
    """n1 and so on."""
    return tuple(f"n{number}" for number in range(1, count + 1))


def boot(plan: BootPlan, progress: Progress) -> Booted:
    """Boot a cluster. Raises DeadlineExceeded, or docker.errors.APIError for what an engine refused."""
    network = _create_network(plan)
    progress(f"starting {len(plan.names)} nodes")
    began = time.monotonic()
    with ThreadPoolExecutor(len(plan.names)) as pool, contextlib.ExitStack() as unfinished:
        nodes = tuple(pool.map(start_node, _node_plans(plan, network)))
        for node in nodes:
            unfinished.callback(node.close)
        started = time.monotonic()
        list(pool.map(lambda node: prepare_node(node, plan.engine), nodes))
        answering = joined = ready = time.monotonic()
        if not plan.is_bare:
            progress("joining the nodes to a swarm")
            _form_swarm(nodes, plan.managers, pool)
            joined = time.monotonic()
            wait_until_ready(nodes[0], len(nodes), plan.managers)
            ready = time.monotonic()
        version = docker_version(nodes[0])
        unfinished.pop_all()
    times = BootTimes(started - began, answering - started, joined - answering, ready - joined)
    return Booted(nodes, network, times, version)


def docker_version(node: Node) -> str:
    """Ask a node for the version of its Docker daemon."""
    return str(node.client.api.version()["Version"])


def wait_until_ready(manager: Node, nodes: int, managers: int, timeout: float = READY_SECONDS) -> None:
    """Wait until a manager says that all nodes are Ready and its fellow managers reachable."""
    from docker.errors import DockerException

    def condition() -> Done[None] | NotYet:
        try:
            return nodes_ready(manager.client.api.nodes(), nodes, managers)
        except (DockerException, OSError) as error:
            # An answer that tells why not, or none because the node's daemon starts again.
            return NotYet(str(getattr(error, "explanation", None) or error))

    wait_until(condition, what=f"{nodes} nodes Ready", timeout=timeout, interval=0.05)


def _create_network(plan: BootPlan) -> Network:
    """Create the cluster's internal network on a subnet that nothing else uses."""
    from docker.errors import APIError
    from docker.types import IPAMConfig, IPAMPool

    candidates = free_subnets(_taken_subnets(plan.host), random.randrange(SUBNETS))
    for attempt, subnet in enumerate(candidates, start=1):
        parameters: dict[str, object] = {
            "driver": "bridge",
            # No route leaves an internal network: traffic to an address that is gone dies on the bridge.
            "internal": True,
            "ipam": IPAMConfig(
                pool_configs=[
                    IPAMPool(subnet=str(subnet), iprange=str(dynamic_range(subnet)), gateway=gateway_of(subnet))
                ]
            ),
            "labels": {**plan.owner.labels, **plan.labels, DIRECTORY_LABEL: str(plan.directory)},
        }
        try:
            network = new_network(plan.owner.name, parameters).create()
            network._docker.client.close()  # it has no other way to close its connection
            return network
        except APIError as error:
            # Another run may have taken the subnet in the meantime; anything else will not get better.
            if attempt == _SUBNET_ATTEMPTS or "overlaps" not in str(error.explanation):
                raise
    raise RuntimeError("no free subnet for a cluster is left: remove old ones with pytest-swarm-cleanup")


def _taken_subnets(host: docker.DockerClient) -> list[ipaddress.IPv4Network]:
    routes = Path("/proc/net/route")
    taken = parse_routes(routes.read_text()) if routes.exists() else []
    for network in host.api.networks():
        for pool in (network.get("IPAM") or {}).get("Config") or []:
            subnet = ipaddress.ip_network(pool["Subnet"], strict=False)
            if isinstance(subnet, ipaddress.IPv4Network):
                taken.append(subnet)
    return taken


def _node_plans(plan: BootPlan, network: Network) -> list[NodePlan]:
    (pool,) = plan.host.api.inspect_network(network.id)["IPAM"]["Config"]
    subnet = ipaddress.IPv4Network(pool["Subnet"])
    return [
        NodePlan(
            plan.host,
            name,
            plan.image,
            network,
            plan.directory,
            plan.owner,
            plan.engine,
            node_address(subnet, number),
        )
        for number, name in enumerate(plan.names, start=1)
    ]


def prepare_node(node: Node, engine: Engine) -> None:
    """Wait until a started node's API answers, and ready it for use. Raises DeadlineExceeded."""
    try:
        wait_until(node.answers, what=f"API of {node.name}", timeout=NODE_ANSWERS_SECONDS, interval=0.05)
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{error}; the node's log ends: {node.log_tail()}") from None
    node.open_socket_to_owner()
    command = engine.boot_command()
    if command is not None:
        node.run_command(command)


def _form_swarm(nodes: Sequence[Node], managers: int, pool: ThreadPoolExecutor) -> None:
    first = nodes[0]
    listen = f"0.0.0.0:{MANAGEMENT_PORT}"
    first.client.api.init_swarm(advertise_addr=first.address, listen_addr=listen)
    tokens = first.client.api.inspect_swarm()["JoinTokens"]

    def join(node: Node, role: str) -> None:
        node.client.api.join_swarm(
            [f"{first.address}:{MANAGEMENT_PORT}"], tokens[role], listen_addr=listen, advertise_addr=node.address
        )

    # Each new manager changes the quorum: one after another. Workers change nothing.
    workers = [pool.submit(join, node, "Worker") for node in nodes[managers:]]
    for node in nodes[1:managers]:
        join(node, "Manager")
    for worker in workers:
        worker.result()
