"""What the article's author asked himself or did not try, answered by a test each."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.service import Service
from tests.cluster.command_line import command, update_and_wait
from tests.cluster.conftest import overlay_network

pytestmark = pytest.mark.cluster

BLOCK_S = 4.0
REMOVAL_S = 20.0
VIP_REQUESTS = 150
_ASK_ONCE = "import urllib.request as r,sys;print(r.urlopen(sys.argv[1],timeout=20).status)"
_ASK_OFTEN = """
import urllib.request as r, sys
for _ in range(int(sys.argv[2])):
    print(r.urlopen(sys.argv[1], timeout=5).headers["X-Task"])
"""


@pytest.fixture
def overlay(request: pytest.FixtureRequest, swarm: Cluster) -> Iterator[str]:
    """One that no service is on yet."""
    with overlay_network(request, swarm, "asked") as name:
        yield name


def ask(cluster: Cluster, program: str, *arguments: str) -> list[str]:
    """Run a program of Python on the first node; the lines it prints. Fails the test when it fails."""
    status, output = cluster.nodes[0].container.exec_run(["python3", "-c", program, *arguments])
    text: str = output.decode(errors="replace")
    assert status == 0, text
    return text.splitlines()


def test_service_rm_answers_what_is_under_way_and_then_removes_the_containers(
    swarm: Cluster, deploy: Callable[..., Service]
) -> None:
    web = deploy(replicas=3, env={"BLOCK_SECONDS": str(BLOCK_S)})
    url = f"http://{swarm.nodes[0].address}:8080/"
    answers: list[str] = []
    request = threading.Thread(target=lambda: answers.extend(ask(swarm, _ASK_ONCE, url)))
    request.start()
    time.sleep(BLOCK_S / 4)  # the request is being served now

    started = time.monotonic()
    web.remove(timeout=REMOVAL_S)
    seconds = time.monotonic() - started
    request.join(timeout=REMOVAL_S)

    print(f"all containers were gone {seconds:.1f} s after `service rm`")  # noqa: T201
    assert answers == ["200"]
    assert seconds > BLOCK_S / 2, "the containers went before the answer came"


def test_ten_replicas_are_spread_evenly_over_the_nodes(swarm: Cluster, deploy: Callable[..., Service]) -> None:
    web = deploy(replicas=3)
    before = {task["ID"] for task in web.tasks()}

    operation = web.scale(10)

    running = {task["ID"]: task["NodeID"] for task in web.tasks() if task["Status"]["State"] == "running"}
    shares = sorted(Counter(running.values()).values())
    print(f"{shares} tasks on the nodes after {operation.seconds:.1f} s")  # noqa: T201
    assert sum(shares) == 10
    assert len(shares) == len(swarm.nodes)
    assert shares[-1] - shares[0] <= 1
    assert before <= set(running), "scaling replaced tasks that were there"


def test_a_network_is_added_and_removed_under_load(deploy: Callable[..., Service], load: Load, overlay: str) -> None:
    web = deploy(replicas=3, parallelism=2)

    with load(web) as run:
        update_and_wait(web, "--network-add", overlay)
        added = web.inspect()["Spec"]["TaskTemplate"].get("Networks", [])
        update_and_wait(web, "--network-rm", overlay)

    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()
    assert len(added) == 1
    assert not web.inspect()["Spec"]["TaskTemplate"].get("Networks")


def test_the_virtual_address_shares_evenly(swarm: Cluster, deploy: Callable[..., Service], overlay: str) -> None:
    """From every task, itself among the answering, and from every node that carries the network."""
    web = deploy(replicas=3, env={"BLOCK_SECONDS": "0"}, networks=[overlay], publish={})
    (virtual,) = web.inspect()["Endpoint"]["VirtualIPs"]
    address = virtual["Addr"].partition("/")[0]
    line = ["python3", "-c", _ASK_OFTEN, f"http://{address}:8080/", str(VIP_REQUESTS)]

    for task in web.tasks():
        node = swarm.node_of(task)
        process_id = str(task["Status"]["ContainerStatus"]["PID"])
        for asker, prefix in (("task", ["nsenter", "-t", process_id, "-n"]), ("node", [])):
            answer = command(node, *prefix, *line)
            assert answer.status == 0, answer.error
            shares = Counter(answer.output.split())
            even = VIP_REQUESTS / 3
            print(f"{asker} on {node.name}: {sorted(shares.values())} of {VIP_REQUESTS}")  # noqa: T201
            assert len(shares) == 3
            assert all(abs(share - even) <= even / 10 for share in shares.values()), shares
