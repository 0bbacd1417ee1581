"""The cluster a test works with: deploy services, drain nodes, reach every node's own API."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_swarm import reuse
from pytest_swarm.boot import Booted, BootPlan, boot, node_names, wait_until_ready
from pytest_swarm.cleanup import owning
from pytest_swarm.cluster_folder import InUse, holding
from pytest_swarm.conditions import AT_REST, node_is_empty
from pytest_swarm.dns_watch import DnsWatch
from pytest_swarm.engines.base import Engine
from pytest_swarm.fault import Fault
from pytest_swarm.faults import Faults
from pytest_swarm.node import Node
from pytest_swarm.phases import Operation
from pytest_swarm.progress import Progress
from pytest_swarm.service import CONVERGE_SECONDS, Service
from pytest_swarm.service_images import Archive, Source, as_archives, load_into_all
from pytest_swarm.service_spec import Deployment, EndpointMode, Healthcheck, Order, service_spec
from pytest_swarm.submission import submit
from pytest_swarm.trying import try_all
from pytest_swarm.waiting import Done, NotYet, wait_until

if TYPE_CHECKING:
    import docker


class Cluster:
    """A running cluster. `operations` lists what was done to it, for the phases of a load.

    `kill` and the other faults are those of `faults.Faults`; after each test they are healed.
    """

    def __init__(self, plan: BootPlan, booted: Booted, progress: Progress) -> None:
        self.host = plan.host
        self.owner = plan.owner
        self.directory = plan.directory
        self.engine = plan.engine
        self.image = plan.image
        self.managers = plan.managers
        self.nodes = booted.nodes
        self.network = booted.network
        self.boot_times = booted.times
        self.docker_version = booted.docker_version
        self.booted_at = time.time()
        self.progress = progress
        self.operations: list[Operation] = []
        self._services: list[Service] = []
        self.faults = faults = Faults(self)
        self.kill, self.kill_leader = faults.kill, faults.kill_leader
        self.pause, self.resume, self.restart = faults.pause, faults.resume, faults.restart
        self.partition, self.isolate, self.drop = faults.partition, faults.isolate, faults.drop
        self.kill_swarmd, self.kill_engine = faults.kill_swarmd, faults.kill_engine
        self.fill_disk, self.skew_clock = faults.fill_disk, faults.skew_clock
        self.heal = faults.heal

    @property
    def api(self) -> Any:
        """The low-level docker-py client of the first manager that no fault keeps from its fellows."""
        return self.faults.usable_managers()[0].client.api

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(self._services)

    @property
    def leader(self) -> Node:
        """The manager that leads now. Raises DeadlineExceeded when there is none for 30 s."""
        return self.wait_for_leader()

    def wait_for_leader(self, timeout: float = 30.0) -> Node:
        """Wait until a manager that no fault keeps from its fellows names a leader, and return that leader.

        Raises DeadlineExceeded after `timeout` seconds.
        """
        return wait_until(self._find_leader, what="a leader", timeout=timeout, interval=0.02)

    def failover_seconds(self, fault: Fault, timeout: float = 30.0) -> float:
        """Wait until the managers that no fault keeps from their fellows name a leader; return the seconds since the
        fault began.

        They cannot name one that they do not reach. A failover is only seen by asking, so ask right after the fault.
        Raises DeadlineExceeded after `timeout` seconds.
        """
        self.wait_for_leader(timeout)
        return time.time() - fault.started

    def node(self, name: str | Node) -> Node:
        """Return a node by its name, n1 to nN."""
        if isinstance(name, Node):
            return name
        for node in self.nodes:
            if node.name == name:
                return node
        raise ValueError(f"there is no node {name!r}; the nodes are {', '.join(each.name for each in self.nodes)}")

    def node_ids(self) -> dict[str, str]:
        """Ask for the swarm's own ids of the nodes, by their names, n1 to nN."""
        return {node["Description"]["Hostname"]: node["ID"] for node in self.api.nodes()}

    def node_of(self, task: Mapping[str, Any]) -> Node:
        """Ask which node a task is on, as the API describes the task; ValueError when it is on none of them."""
        node_id = task.get("NodeID", "")
        names = [name for name, each in self.node_ids().items() if each == node_id]
        if not names:
            raise ValueError(f"task {task['ID']} is on no node of the swarm")
        return self.node(names[0])

    def client(self, name: str) -> docker.DockerClient:
        """Return a docker-py client of a node's own API."""
        return self.node(name).client

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until all nodes are Ready and all managers reachable."""
        wait_until_ready(self.faults.usable_managers()[0], len(self.nodes), self.managers, timeout)

    def load_images(self, images: Mapping[str, Source]) -> None:
        """Bring images into every node, in parallel, each under the name it is mapped from: see `service_images`.

        Raises BadImage for what is no image.
        """
        from pytest_swarm.owned_folders import cache_directory

        self.load_archives(as_archives(images, self.host, cache_directory(), self.progress))

    def load_archives(self, archives: Mapping[str, Archive]) -> None:
        """Bring archives into every node, in parallel. Raises BadImage for one that holds no image."""
        load_into_all([node.client for node in self.nodes], archives)

    def deploy(
        self,
        image: str,
        *,
        name: str | None = None,
        replicas: int = 3,
        publish: Mapping[int, int] | None = None,
        order: Order = "stop-first",
        parallelism: int = 1,
        delay: float = 0.0,
        monitor: float | None = None,
        stop_grace_period: float | None = None,
        command: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        constraints: Sequence[str] = (),
        healthcheck: Healthcheck | None = None,
        networks: Sequence[str] = (),
        endpoint_mode: EndpointMode = "vip",
        timeout: float = CONVERGE_SECONDS,
    ) -> Service:
        """Create a service and wait until all replicas run.

        `publish` maps published to target TCP ports, {8080: 8080} by default. Times are seconds.
        Raises docker.errors.APIError for what the cluster refuses, DeadlineExceeded after `timeout`.
        """
        deployment = Deployment(
            image=image,
            name=name or f"web{len(self._services) + 1}",
            replicas=replicas,
            publish={8080: 8080} if publish is None else publish,
            publish_mode=self.engine.publish_mode(),
            order=order,
            parallelism=parallelism,
            delay=delay,
            monitor=monitor,
            stop_grace_period=stop_grace_period,
            command=command,
            env=env or {},
            labels=labels or {},
            constraints=constraints,
            healthcheck=healthcheck,
            networks=networks,
            endpoint_mode=endpoint_mode,
        )
        spec = service_spec(deployment)
        created = self.api.create_service(
            spec["TaskTemplate"],
            name=spec["Name"],
            labels=spec["Labels"],
            mode=spec["Mode"],
            update_config=spec["UpdateConfig"],
            endpoint_spec=spec["EndpointSpec"],
        )
        service = Service(self, created["ID"], deployment)
        self._services.append(service)
        service.wait_converged(timeout=timeout)
        return service

    def dns(self, service: Service, name: str = "", *, network: str, image: str = "") -> DnsWatch:
        """Watch a name (the service's own, unless said otherwise) from a task on every node: see `dns_watch`.

        `image` must have a Python; it is the service's own unless said otherwise.
        """
        return DnsWatch(self, service, name or service.name, network, image or service.deployment.image)

    def drain(self, name: str | Node, *, timeout: float = CONVERGE_SECONDS) -> Operation:
        """Move all tasks off a node, and wait until it is empty and every service is complete elsewhere."""
        name = self.node(name).name
        started = time.time()
        node_id = self._set_availability(name, "drain", timeout)
        wait_until(lambda: node_is_empty(self.api.tasks(), node_id), what=f"drain of node {name}", timeout=timeout)
        for service in self._services:
            service.wait_converged(timeout=timeout, ends=AT_REST)
        operation = Operation(f"drain {name}", started, time.time())
        self.operations.append(operation)
        return operation

    def activate(self, name: str, *, timeout: float = CONVERGE_SECONDS) -> None:
        """Let a drained node take tasks again."""
        self._set_availability(name, "active", timeout)

    def activate_all(self) -> None:
        """Undo every drain. Raises ExceptionGroup when all nodes have been tried and some failed."""
        names = [node["Description"]["Hostname"] for node in self.api.nodes() if _is_inactive(node)]
        try_all("nodes could not be activated", [functools.partial(self.activate, name) for name in names])

    def reset(self, *, keep: Collection[Service] = ()) -> None:
        """Heal all faults, remove all services but those to keep, and undo every drain.

        Raises ExceptionGroup when all of it has been tried and some failed.
        """
        removals = [service.remove for service in self._services if service not in keep]
        try_all("the cluster could not be reset", [self.heal, *removals, self.activate_all])

    def forget(self, service: Service) -> None:
        """Drop a service that was removed from the cluster's own list."""
        if service in self._services:
            self._services.remove(service)

    def close(self) -> None:
        """Stop watching the services and close the connections to the nodes; the containers stay."""
        for service in self._services:
            service.stop_watching()
        for node in self.nodes:
            node.close()

    def _set_availability(self, name: str, availability: str, timeout: float) -> str:
        def change() -> str:
            nodes = {node["Description"]["Hostname"]: node for node in self.api.nodes()}
            node = nodes[self.node(name).name]
            self.api.update_node(node["ID"], node["Version"]["Index"], {**node["Spec"], "Availability": availability})
            return str(node["ID"])

        return submit(change, what=f"{availability} of node {name}", timeout=timeout)

    def _find_leader(self) -> Done[Node] | NotYet:
        from docker.errors import DockerException

        for node in self.faults.usable_managers():
            try:
                listing = node.client.api.nodes()
            except (DockerException, OSError):
                continue
            for each in listing:
                if (each.get("ManagerStatus") or {}).get("Leader"):
                    return Done(self.node(each["Description"]["Hostname"]))
        return NotYet("no manager names a leader")


def _is_inactive(node: Mapping[str, Any]) -> bool:
    return bool(node["Spec"]["Availability"] != "active")


@contextmanager
def running_cluster(
    host: docker.DockerClient,
    engine: Engine,
    *,
    image: str,
    nodes: int,
    managers: int,
    keep: Callable[[], bool],
    progress: Progress,
) -> Iterator[Cluster]:
    """Boot a cluster and remove it at the end, whatever happens, unless `keep` then says otherwise.

    What a failed or interrupted boot has made so far is removed as well.
    """
    with owning(host, progress, keep=keep) as (owner, directory):
        plan = BootPlan(host, owner, directory, image, engine, node_names(nodes), managers)
        with contextlib.closing(Cluster(plan, boot(plan, progress), progress)) as cluster:
            yield cluster


@contextmanager
def reused_cluster(
    host: docker.DockerClient,
    engine: Engine,
    name: str,
    *,
    image: str,
    nodes: int,
    managers: int,
    progress: Progress,
) -> Iterator[Cluster]:
    """The cluster of this name, booted now if there is none; it stays, whatever happens, once it has booted.

    Raises CannotReuse when there is one of another kind, or another session uses it.
    """
    wanted = reuse.Likeness(name, engine.name, nodes, managers, image)
    found = reuse.find(host, wanted)
    with contextlib.ExitStack() as stack:
        if found is None:
            with owning(host, progress, keep=lambda: True) as (owner, directory):
                plan = BootPlan(host, owner, directory, image, engine, node_names(nodes), managers, wanted.labels)
                stack.enter_context(holding(directory))
                booted = boot(plan, progress)
        else:
            owner, network = found
            plan = BootPlan(
                host, owner, reuse.directory_of(network), image, engine, node_names(nodes), managers, wanted.labels
            )
            try:
                stack.enter_context(holding(plan.directory))
            except InUse:
                raise reuse.CannotReuse("another session uses the cluster: wait for it, or use another name") from None
            booted = reuse.attach(plan, network, progress)
        cluster = stack.enter_context(contextlib.closing(Cluster(plan, booted, progress)))
        if found is not None:
            reuse.tidy(cluster.api, cluster.activate_all)
        yield cluster
