"""What each engine's changes take, and what an idle node costs. `make bench` runs it on both, one after the other."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.conditions import is_running
from pytest_swarm.engine_client import SERVICE_LABEL
from pytest_swarm.node import Node
from pytest_swarm.service_spec import Spec, with_image, with_replicas
from pytest_swarm.submission import send_spec, submit
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.benchmarks.book import Book
from tests.cluster.conftest import COMMAND, IMAGE

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(420),
]

ROUNDS = 3
POLL_SECONDS = 0.02
GIVE_UP_SECONDS = 90.0
IDLE_SECONDS = 10.0
WRITES = 100
WRITERS = 8
READS = 200
LOAD_SECONDS = 4
CONNECTIONS = 16


@pytest.fixture
def note(swarm: Cluster, book: Book) -> Callable[..., None]:
    """Writes one measure of this engine: its name, its unit, and each run's value."""

    def write(measure: str, unit: str, values: Sequence[float], remark: str = "") -> None:
        row = {"engine": swarm.engine.name, "measure": measure, "unit": unit, "values": list(values)}
        book.add("costs", {**row, "remark": remark})

    return write


def test_boot(swarm: Cluster, note: Callable[..., None]) -> None:
    note(f"boot {len(swarm.nodes)} nodes to Ready", "s", [swarm.boot_times.total])


def test_changes(swarm: Cluster, note: Callable[..., None]) -> None:
    """A service without a published port: what an engine does by itself, no traffic waited for."""
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        began = time.monotonic()
        service_id = swarm.api.create_service(template(1), name="cost", mode=mode(3), update_config=UPDATE)["ID"]
        try:
            seconds.setdefault("create 3 replicas", []).append(until_running(swarm, service_id, 3, began))
            for replicas in (10, 3):
                began = time.monotonic()
                change(swarm, service_id, partial(with_replicas, replicas=replicas))
                name = f"scale {13 - replicas} to {replicas}"
                seconds.setdefault(name, []).append(until_running(swarm, service_id, replicas, began))
            began = time.monotonic()
            change(swarm, service_id, partial(with_image, image=f"{IMAGE}:2"))
            seconds.setdefault("update 3 replicas, one by one", []).append(
                until_running(swarm, service_id, 3, began, image=f"{IMAGE}:2")
            )
        finally:
            began = time.monotonic()
            swarm.api.remove_service(service_id)
            wait_gone(swarm, service_id)
            seconds.setdefault("remove to containers gone", []).append(time.monotonic() - began)
    for measure, values in seconds.items():
        note(measure, "s", values)


UPDATE = {"Parallelism": 1, "Delay": 0, "Order": "stop-first", "FailureAction": "pause"}


def template(version: int) -> dict[str, Any]:
    """The sample service, which ends at once when told to."""
    return {"ContainerSpec": {"Image": f"{IMAGE}:{version}", "Command": COMMAND}}


def mode(replicas: int) -> dict[str, Any]:
    """A replicated service."""
    return {"Replicated": {"Replicas": replicas}}


def change(swarm: Cluster, service_id: str, changed: Callable[[Spec], Spec]) -> None:
    """Change a service; the cluster itself may have written to it in between."""

    def attempt() -> None:
        current = swarm.api.inspect_service(service_id)
        send_spec(swarm.api, service_id, changed(current["Spec"]), current["Version"]["Index"])

    submit(attempt, what="the change", timeout=GIVE_UP_SECONDS)


def until_running(swarm: Cluster, service_id: str, replicas: int, began: float, image: str = "") -> float:
    """Seconds from `began` until exactly so many tasks run, all of them with the image if one is named."""

    def look() -> Done[float] | NotYet:
        tasks = swarm.api.tasks(filters={"service": service_id})
        active = [task for task in tasks if task["Status"]["State"] in ("starting", "running")]
        good = [
            task for task in active if is_running(task) and task["Spec"]["ContainerSpec"]["Image"].startswith(image)
        ]
        if len(good) == replicas == len(active):
            return Done(time.monotonic() - began)
        return NotYet(f"{len(good)} of {replicas} run, {len(active)} are there")

    return wait_until(look, what=f"{replicas} tasks", timeout=GIVE_UP_SECONDS, interval=POLL_SECONDS)


def wait_gone(swarm: Cluster, service_id: str) -> None:
    """Wait until no node has a container of the service."""
    filters = {"label": f"{SERVICE_LABEL}={service_id}"}

    def look() -> Done[None] | NotYet:
        left = [node.name for node in swarm.nodes if node.client.api.containers(all=True, filters=filters)]
        return NotYet(f"containers are left on {', '.join(left)}") if left else Done(None)

    wait_until(look, what="containers to go", timeout=GIVE_UP_SECONDS, interval=0.05)


def test_an_idle_node(swarm: Cluster, note: Callable[..., None]) -> None:
    """Memory and CPU of what runs on each node beside its containers."""
    processes = ("dockerd", "swarmd") if swarm.engine.name == "orchestrator" else ("dockerd",)
    before = {(node.name, name): usage(node, name) for node in swarm.nodes for name in processes}
    time.sleep(IDLE_SECONDS)  # what is measured is how little happens in that time
    for name in processes:
        after = {node.name: usage(node, name) for node in swarm.nodes}
        memory = [after[node.name][0] / 2**20 for node in swarm.nodes]
        busy = [100 * (after[node.name][1] - before[node.name, name][1]) / IDLE_SECONDS for node in swarm.nodes]
        note(f"memory of an idle {name}", "MiB", memory, "by node, managers first")
        note(f"CPU of an idle {name}", "% of a core", busy, "by node, managers first")


PATTERNS = {"dockerd": "dockerd --host", "swarmd": "-m orchestrator"}


def usage(node: Node, name: str) -> tuple[int, float]:
    """(bytes of memory, seconds of CPU) of a process of the node."""
    script = f"pid=$(pgrep -of -- '{PATTERNS[name]}') && cat /proc/$pid/status /proc/$pid/stat && getconf CLK_TCK"
    output = node.run_command(["sh", "-c", script])
    resident = re.search(r"VmRSS:\s+(\d+) kB", output)
    assert resident is not None, output
    *_, stat, ticks = output.strip().splitlines()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return int(resident[1]) * 1024, (int(user) + int(system)) / int(ticks)


def test_writes_and_reads(swarm: Cluster, note: Callable[..., None]) -> None:
    """Each write is one entry of the managers' log; asked of the leader, over its own socket."""
    leader = swarm.leader
    api = leader.client.api
    made: list[str] = []

    def write(number: int) -> float:
        began = time.monotonic()
        made.append(api.create_config(f"cost-{number}", b"x")["ID"])
        return time.monotonic() - began

    try:
        alone = sorted(write(number) for number in range(WRITES))
        began = time.monotonic()
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, range(WRITES, 3 * WRITES)))
        together = 2 * WRITES / (time.monotonic() - began)
    finally:
        for config in made:
            api.remove_config(config)
    managers = f"{swarm.managers} managers"
    note(f"a write, median, {managers}", "ms", [1000 * alone[len(alone) // 2]])
    note(f"a write, 99th percentile, {managers}", "ms", [1000 * alone[int(len(alone) * 0.99)]])
    note(f"writes by {WRITERS} clients, {managers}", "per s", [together])
    began = time.monotonic()
    for _ in range(READS):
        api.nodes()
    note("node lists by one client", "per s", [READS / (time.monotonic() - began)])


def test_the_mesh(swarm: Cluster, note: Callable[..., None]) -> None:
    """Requests a second through the mesh beside those to such a task on a host port: wrk, kept connections."""
    wrk = shutil.which("wrk")
    if wrk is None:
        pytest.skip("wrk is missing: apt-get install wrk")
    worker, entrance = swarm.nodes[-1], swarm.nodes[0]
    ways = {"host port": (worker, 8082)}
    with contextlib.ExitStack() as stack:
        stack.enter_context(service(swarm, "direct", worker, 8082, "host"))
        if swarm.engine.publish_mode() == "ingress":
            stack.enter_context(service(swarm, "mesh", worker, 8081, "ingress"))
            ways |= {"mesh, task on the node": (worker, 8081), "mesh, task on another node": (entrance, 8081)}
        rates: dict[str, list[float]] = {}
        tails: dict[str, list[float]] = {}
        # In turns, so that whatever else the machine does meets all alike.
        for _ in range(ROUNDS):
            for way, (node, port) in ways.items():
                rate, tail = measure(wrk, f"http://{node.address}:{port}/")
                rates.setdefault(way, []).append(rate)
                tails.setdefault(way, []).append(tail)
    for way in ways:
        note(f"requests by {way}", "per s", rates[way])
        note(f"99th percentile by {way}", "ms", tails[way])


@contextlib.contextmanager
def service(swarm: Cluster, name: str, node: Node, port: int, how: str) -> Iterator[None]:
    """One task that answers at once, on that node."""
    spec = template(1)
    spec["ContainerSpec"]["Env"] = ["BLOCK_SECONDS=0"]
    spec["Placement"] = {"Constraints": [f"node.hostname=={node.name}"]}
    ports = [{"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": port, "PublishMode": how}]
    began = time.monotonic()
    made = swarm.api.create_service(spec, name=name, mode=mode(1), endpoint_spec={"Ports": ports})["ID"]
    try:
        until_running(swarm, made, 1, began)
        yield
    finally:
        swarm.api.remove_service(made)
        wait_gone(swarm, made)


def measure(wrk: str, url: str) -> tuple[float, float]:
    """(requests a second, 99th percentile in milliseconds) of `LOAD_SECONDS` of load."""
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{LOAD_SECONDS}s", "--latency", url]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    rate, tail = re.search(r"Requests/sec:\s+([\d.]+)", output), re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    assert rate is not None, output
    assert tail is not None, output
    assert "Non-2xx" not in output, output
    assert "Socket errors" not in output, output
    return float(rate[1]), float(tail[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[tail[2]]


def test_a_node_is_lost(swarm: Cluster, note: Callable[..., None]) -> None:
    """Seconds from the kill of a worker until the managers hold it for down, and until its tasks run elsewhere."""
    worker = swarm.nodes[-1]
    worker_id = swarm.node_ids()[worker.name]
    down: list[float] = []
    replaced: list[float] = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        service_id = swarm.api.create_service(template(1), name="cost", mode=mode(8), update_config=UPDATE)["ID"]
        try:
            until_running(swarm, service_id, 8, began)
            began = time.monotonic()
            with swarm.kill(worker, limit=GIVE_UP_SECONDS):
                down.append(until(partial(is_down, swarm, worker_id), began, "the node down"))
                elsewhere = partial(run_elsewhere, swarm, service_id, worker_id)
                replaced.append(until(elsewhere, began, "8 tasks"))
        finally:
            swarm.api.remove_service(service_id)
            wait_gone(swarm, service_id)
    note("a killed node held for down", "s", down)
    note("its tasks run elsewhere", "s", replaced)


def until(condition: Callable[[], bool], began: float, what: str) -> float:
    """Seconds from `began` until the condition holds."""

    def look() -> Done[float] | NotYet:
        return Done(time.monotonic() - began) if condition() else NotYet("not yet")

    return wait_until(look, what=what, timeout=GIVE_UP_SECONDS, interval=0.05)


def is_down(swarm: Cluster, node_id: str) -> bool:
    """Whether the managers hold the node for down."""
    return bool(swarm.api.inspect_node(node_id)["Status"]["State"] == "down")


def run_elsewhere(swarm: Cluster, service_id: str, node_id: str) -> bool:
    """Whether eight tasks run on other nodes."""
    tasks = swarm.api.tasks(filters={"service": service_id, "desired-state": "running"})
    running = [task for task in tasks if task["Status"]["State"] == "running" and task.get("NodeID") != node_id]
    return len(running) >= 8


def test_the_leader_is_lost(swarm: Cluster, note: Callable[..., None]) -> None:
    """Seconds from the kill of the leader until a survivor acknowledges a write under a new one."""
    from docker.errors import DockerException

    seconds: list[float] = []
    made: list[str] = []
    for number in range(ROUNDS):
        leader = swarm.leader
        survivor = next(node for node in swarm.nodes[: swarm.managers] if node is not leader)

        def written(survivor: Node = survivor, leader: Node = leader, number: int = number) -> bool:
            api = survivor.client.api
            try:
                made.append(api.create_config(f"failover-{number}-{time.monotonic_ns()}", b"x")["ID"])
                nodes = api.nodes()
            except (DockerException, OSError):
                return False
            leaders = [node for node in nodes if (node.get("ManagerStatus") or {}).get("Leader")]
            return bool(leaders) and leaders[0]["Description"]["Hostname"] != leader.name

        began = time.monotonic()
        with swarm.kill(leader, limit=GIVE_UP_SECONDS):
            seconds.append(until(written, began, "a new leader"))
    for config in made:
        swarm.api.remove_config(config)
    note("a killed leader's successor takes writes", "s", seconds)
