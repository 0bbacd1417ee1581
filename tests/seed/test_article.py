"""The session of "I tried the Docker swarm", from the first command to the last, through the stock CLI of the nodes.

The tests are one session on one cluster, in the article's order; each continues where the one before ended. Where the
author reports a fault (lost requests, a network that a service cannot be given), they hold the opposite to be true.
The experiment with its full 500 requests is `tests/cluster/test_rolling_update.py`.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.seed.session import (
    CURL,
    SETTLE_SECONDS,
    answer_to,
    apache_bench,
    blocked_seconds,
    only_running_on,
    put_file,
    table,
    tasks,
    type_in,
    wait_for_manager_status,
    wait_for_replicas,
    wait_until_asked,
)

pytestmark = pytest.mark.cluster

Nodes = tuple[Node, ...]

IDENTITY = r"[0-9a-z]{25}"
CONVERGED = re.compile(r"verify: Service \S+ converged")
WEB = "docker-swarm-test:1 /docker-swarm-test"
ARCHIVES_PORT = 8000


def test_swarm_init_and_join(nodes: Nodes) -> None:
    manager, *workers = nodes
    line = f"docker swarm init --advertise-addr {manager.address} --dispatcher-heartbeat 2s"
    text = type_in(manager, line)
    assert re.match(rf"Swarm initialized: current node \({IDENTITY}\) is now a manager\.\n", text)
    assert "To add a worker to this swarm, run the following command:" in text
    assert "To add a manager to this swarm, run 'docker swarm join-token manager'" in text
    (join,) = re.findall(r"docker swarm join --token SWMTKN-1-\S+ \S+:2377", text)
    assert join in type_in(manager, "docker swarm join-token worker")
    assert join not in type_in(manager, "docker swarm join-token manager")
    assert "Heartbeat Period: 2 seconds" in type_in(manager, "docker info")

    for worker in workers:
        assert type_in(worker, join) == "This node joined a swarm as a worker."

    def all_ready() -> Done[None] | NotYet:
        shown = type_in(manager, "docker node ls")
        ready = [row for row in table(shown) if row["STATUS"] == "Ready"]
        return Done(None) if len(ready) == len(nodes) else NotYet(shown)

    wait_until(all_ready, what="all nodes to be Ready", timeout=SETTLE_SECONDS)


def test_the_image_is_imported_on_each_node(nodes: Nodes, archives: Mapping[str, Path]) -> None:
    """From a URL, as the author did: the first node serves what the author's build left on a server."""
    first = nodes[0]
    for name, archive in archives.items():
        put_file(first, f"/srv/{_file_of(name)}", archive.read_bytes())
    serve = f"python3 -m http.server --directory /srv {ARCHIVES_PORT}"
    first.container.exec_run(serve.split(), detach=True)

    def import_all(node: Node) -> list[str]:
        address = f"http://{first.address}:{ARCHIVES_PORT}"
        wait_until(
            lambda: Done(None) if answer_to(node, f"curl -sf {address}/").status == 0 else NotYet("no answer"),
            what="the server of the archives",
            timeout=SETTLE_SECONDS,
        )
        return [type_in(node, f"docker import {address}/{_file_of(name)} {name}") for name in archives]

    with ThreadPoolExecutor(len(nodes)) as pool:
        for printed in pool.map(import_all, nodes):
            assert all(line.splitlines()[-1].startswith("sha256:") for line in printed)
    for node in nodes:
        rows = table(type_in(node, "docker images"))
        shown = {(row["REPOSITORY"], row["TAG"]) for row in rows}
        assert shown == {("docker-swarm-test", "1"), ("docker-swarm-test", "2"), ("alpine", "latest")}


def _file_of(image: str) -> str:
    return f"{image.replace(':', '-')}.tar.gz"


def test_service_create_and_ps(nodes: Nodes) -> None:
    manager = nodes[0]
    line = 'docker service create --name web --replicas 3 --publish 8080:8080 docker-swarm-test:1 "/docker-swarm-test"'
    printed = type_in(manager, line)
    assert re.match(IDENTITY, printed)
    assert CONVERGED.search(printed)

    rows = table(type_in(manager, "docker service ps web"))
    assert list(rows[0]) == ["ID", "NAME", "IMAGE", "NODE", "DESIRED STATE", "CURRENT STATE", "ERROR", "PORTS"]
    assert sorted(row["NAME"] for row in rows) == ["web.1", "web.2", "web.3"]
    assert len({row["NODE"] for row in rows}) == 3
    for row in rows:
        assert re.fullmatch(r"[0-9a-z]{12}", row["ID"])
        assert (row["IMAGE"], row["DESIRED STATE"]) == ("docker-swarm-test:1", "Running")
        assert (row["ERROR"], row["PORTS"]) == ("", "")
        assert re.fullmatch(r"Running (about an? \w+|less than a second|\d+ \w+) ago", row["CURRENT STATE"])
        assert row["NODE"] in {node.name for node in nodes}


def test_every_node_answers(nodes: Nodes) -> None:
    """Also one whose container is not working: the request is transferred inside."""
    for asked in nodes:
        assert 1.0 <= blocked_seconds(type_in(nodes[1], f"{CURL} http://{asked.address}:8080/")) < 2.0


def test_update_to_the_same_image_changes_no_task(nodes: Nodes) -> None:
    manager = nodes[0]
    before = tasks(manager, "web")
    assert CONVERGED.search(type_in(manager, 'docker service update --image "docker-swarm-test:1" web'))
    assert {row["ID"] for row in tasks(manager, "web")} == {row["ID"] for row in before}


def test_rolling_update_loses_no_request(nodes: Nodes) -> None:
    manager = nodes[0]
    with apache_bench(nodes[1], nodes[-1].address, users=10, requests=120) as statuses:
        wait_until_asked(nodes[-1], 10)
        printed = type_in(manager, 'docker service update --image "docker-swarm-test:2" web')
    assert printed.startswith("web\n")
    assert CONVERGED.search(printed)
    assert Counter(statuses.result()) == {"200": 120}

    rows = table(type_in(manager, "docker service ps web"))
    shown = sorted((row["NAME"].removeprefix("\\_").strip(), row["IMAGE"], row["DESIRED STATE"]) for row in rows)
    assert shown == [
        (f"web.{slot}", f"docker-swarm-test:{version}", state)
        for slot in (1, 2, 3)
        for version, state in ((1, "Shutdown"), (2, "Running"))
    ]


def test_delays_and_a_node_drained_by_hand(nodes: Nodes) -> None:
    """What the author tried (the delays) and what he did not, "as it takes time and effort" (the drain)."""
    manager, asked, *_, drained = nodes
    with apache_bench(asked, manager.address, users=10, requests=120) as statuses:
        wait_until_asked(manager, 10)
        delays = "--update-delay 1s --restart-delay 1s"
        assert type_in(manager, f"docker service update --detach {delays} --image docker-swarm-test:1 web") == "web"
        line = f"docker node update --availability drain {drained.name}"
        assert type_in(manager, line) == drained.name
        wait_until(
            lambda: only_running_on(manager, "web", [node.name for node in nodes[:-1]]),
            what=f"{drained.name} to be empty",
            timeout=SETTLE_SECONDS,
        )
        wait_for_replicas(manager, "web", "3/3")
    assert Counter(statuses.result()) == {"200": 120}

    # No container works there now, and still it answers.
    assert type_in(drained, "docker ps --quiet") == ""
    assert blocked_seconds(type_in(asked, f"{CURL} http://{drained.address}:8080/")) >= 1.0
    (row,) = [row for row in table(type_in(manager, "docker node ls")) if row["HOSTNAME"] == drained.name]
    assert (row["STATUS"], row["AVAILABILITY"]) == ("Ready", "Drain")
    pretty = " ".join(type_in(manager, "docker service inspect --pretty web").split())
    assert "UpdateConfig: Parallelism: 1 Delay: 1s" in pretty
    restart = "{{.Spec.TaskTemplate.RestartPolicy.Delay}}"
    assert type_in(manager, f"docker service inspect --format {restart} web") == "1s"
    type_in(manager, f"docker node update --availability active {drained.name}")


def test_a_network_is_added_to_the_running_service(nodes: Nodes) -> None:
    """For the author: "changing network in service is not supported"."""
    manager = nodes[0]
    identity = type_in(manager, "docker network create -d overlay webnet")
    assert re.fullmatch(IDENTITY, identity)
    row = next(row for row in table(type_in(manager, "docker network ls")) if row["NAME"] == "webnet")
    assert (row["DRIVER"], row["SCOPE"]) == ("overlay", "swarm")

    assert CONVERGED.search(type_in(manager, "docker service update --update-delay 0s --network-add webnet web"))
    target = "{{(index .Spec.TaskTemplate.Networks 0).Target}}"
    assert type_in(manager, f"docker service inspect --format '{target}' web") == identity


def test_the_service_is_created_again_on_the_network(nodes: Nodes) -> None:
    manager = nodes[0]
    assert type_in(manager, "docker service rm web") == "web"
    settings = "--publish 8080:8080 --env BLOCK_SECONDS=3"
    line = f"docker service create --replicas 3 --name web --network webnet {settings} {WEB}"
    assert CONVERGED.search(type_in(manager, line))
    assert CONVERGED.search(type_in(manager, "docker service create --name shell --network webnet alpine sleep 3000"))

    rows = table(type_in(manager, "docker service ls"))
    assert list(rows[0]) == ["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"]
    columns = ("NAME", "MODE", "REPLICAS", "IMAGE", "PORTS")
    assert sorted(tuple(row[column] for column in columns) for row in rows) == [
        ("shell", "replicated", "1/1", "alpine:latest", ""),
        ("web", "replicated", "3/3", "docker-swarm-test:1", "*:8080->8080/tcp"),
    ]


def test_names_are_looked_up_in_the_shell(nodes: Nodes) -> None:
    manager = nodes[0]
    (shell,) = tasks(manager, "shell")
    node = next(node for node in nodes if node.name == shell["NODE"])

    def nslookup(name: str) -> list[str]:
        session = f"docker exec -it shell.1.{shell['ID']} /bin/sh"
        # `script` is the terminal that `-t` asks for.
        typed = f"printf 'nslookup {name}\\nexit\\n' | script -qec '{session}' /dev/null"
        printed = type_in(node, shlex.join(["sh", "-c", typed]))
        assert re.search(rf"^Name: +{name}\s*$", printed, re.MULTILINE), printed
        return re.findall(r"^Address \d+: (.*?)\s*$", printed, re.MULTILINE)

    (virtual,) = nslookup("web")
    running = tasks(manager, "web")
    expected = sorted(f"web.{slot}.{_task_in_slot(running, slot)}.webnet" for slot in (1, 2, 3))
    answers = [line.split() for line in nslookup("tasks.web")]
    assert sorted(reverse for _, reverse in answers) == expected
    addresses = {address for address, _ in answers}
    assert len(addresses) == 3
    # As in the article, the virtual address has no name of its own.
    assert ipaddress.ip_address(virtual) not in {ipaddress.ip_address(address) for address in addresses}
    # `sleep` takes no notice of SIGTERM: the ten seconds until it is killed pass while the next commands run.
    assert type_in(manager, "docker service rm shell") == "shell"


def _task_in_slot(rows: list[dict[str, str]], slot: int) -> str:
    return next(row["ID"] for row in rows if row["NAME"] == f"web.{slot}")


def test_node_ls_promote_and_demote(nodes: Nodes) -> None:
    manager, first, second = nodes[:3]
    shown = table(type_in(manager, "docker node ls"))
    assert list(shown[0]) == ["ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER STATUS", "ENGINE VERSION"]
    assert {row["HOSTNAME"]: row["MANAGER STATUS"] for row in shown} == {
        node.name: "Leader" if node is manager else "" for node in nodes
    }
    assert {(row["STATUS"], row["AVAILABILITY"]) for row in shown} == {("Ready", "Active")}
    assert [row["HOSTNAME"] for row in shown if re.fullmatch(rf"{IDENTITY} \*", row["ID"])] == [manager.name]
    refused = answer_to(first, "docker node ls")
    assert refused.status == 1
    assert "This node is not a swarm manager." in refused.error

    assert type_in(manager, f"docker node promote {first.name} {second.name}").splitlines() == [
        f"Node {node.name} promoted to a manager in the swarm." for node in (first, second)
    ]
    for node in (first, second):
        wait_for_manager_status(manager, node.name, "Reachable")
    asked = next(row for row in table(type_in(second, "docker node ls")) if row["ID"].endswith("*"))
    assert (asked["HOSTNAME"], asked["MANAGER STATUS"]) == (second.name, "Reachable")
    printed = type_in(second, f"docker node demote {first.name} {second.name}").splitlines()
    assert printed == [f"Manager {node.name} demoted in the swarm." for node in (first, second)]
    for node in (first, second):
        wait_for_manager_status(manager, node.name, "")


def test_more_tasks_than_nodes_share_them(nodes: Nodes) -> None:
    """'The answer is that there are multiple containers on one node.'"""
    manager = nodes[0]
    printed = type_in(manager, "docker service scale web=10")
    assert printed.startswith("web scaled to 10")
    assert CONVERGED.search(printed)
    names = [name for node in nodes for name in _web_containers(node)]
    assert sorted(name.rpartition(".")[0] for name in names) == sorted(f"web.{slot}" for slot in range(1, 11))
    assert max(len(_web_containers(node)) for node in nodes) > 1
    assert len(table(type_in(manager, "docker node ps"))) == len(
        table(type_in(manager, f"docker node ps {manager.name}"))
    )


def _web_containers(node: Node) -> list[str]:
    return type_in(node, "docker ps --filter name=web. --format {{.Names}}").split()


def test_service_rm_takes_the_containers_away_but_no_answer(nodes: Nodes) -> None:
    """'Container also will disappear altogether. It takes time to disappear'."""
    manager, asked = nodes[:2]
    with apache_bench(nodes[2], asked.address, users=5, requests=5) as statuses:
        wait_until_asked(asked, 5)
        assert type_in(manager, "docker service rm web") == "web"
        assert table(type_in(manager, "docker service ls")) == []
    assert Counter(statuses.result()) == {"200": 5}

    def gone() -> Done[None] | NotYet:
        left = [name for node in nodes for name in _web_containers(node)]
        return NotYet(str(left)) if left else Done(None)

    wait_until(gone, what="the containers' end", timeout=SETTLE_SECONDS)
    assert answer_to(asked, "curl -s --max-time 5 http://127.0.0.1:8080/").status != 0
    assert "no such service: web" in answer_to(manager, "docker service ps web").error


def test_swarm_leave(nodes: Nodes) -> None:
    manager, *workers = nodes
    for worker in workers:
        assert type_in(worker, "docker swarm leave") == "Node left the swarm."
        assert type_in(worker, "docker ps --all --quiet") == ""

    def down() -> Done[None] | NotYet:
        shown = {row["HOSTNAME"]: row["STATUS"] for row in table(type_in(manager, "docker node ls"))}
        return Done(None) if all(shown[worker.name] == "Down" for worker in workers) else NotYet(str(shown))

    wait_until(down, what="all workers to be Down", timeout=SETTLE_SECONDS)
    names = [worker.name for worker in workers]
    assert type_in(manager, f"docker node rm {' '.join(names)}").split() == names
    assert [row["HOSTNAME"] for row in table(type_in(manager, "docker node ls"))] == [manager.name]

    refused = answer_to(manager, "docker swarm leave")
    assert refused.status == 1
    assert "You are attempting to leave the swarm on a node that is participating as a manager." in refused.error
    assert type_in(manager, "docker swarm leave --force") == "Node left the swarm."
    assert "Swarm: inactive" in type_in(manager, "docker info")
