"""Types the article's commands into a node as they stand there, and reads the tables that come back."""

from __future__ import annotations

import datetime
import io
import re
import shlex
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.cluster.command_line import Answer, command

Row = dict[str, str]

SETTLE_SECONDS = 30.0
# A column's title may hold single spaces; the CLI puts at least two between columns.
_TITLE = re.compile(r"\S+(?: \S+)*")
CURL = "curl -s --max-time 20 -H 'Connection: close'"


def answer_to(node: Node, line: str) -> Answer:
    """Run a command line without a shell."""
    return command(node, *shlex.split(line))


def type_in(node: Node, line: str) -> str:
    """Run a command line and return what it wrote. Raises AssertionError, with the command's words, when it failed."""
    answer = answer_to(node, line)
    assert answer.status == 0, f"{line}: {answer.error or answer.output}"
    return answer.output.strip()


def put_file(node: Node, path: str, content: bytes) -> None:
    """Write a file into a directory of the node that exists."""
    directory, _, name = path.rpartition("/")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as target:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o644
        target.addfile(member, io.BytesIO(content))
    node.container.put_archive(directory, archive.getvalue())


def table(text: str) -> list[Row]:
    """The rows of a listing, each as {title: cell}."""
    header, *lines = text.splitlines()
    titles = list(_TITLE.finditer(header))
    begins = [title.start() for title in titles]
    ends = [*begins[1:], None]
    return [
        {title.group(): line[begin:end].strip() for title, begin, end in zip(titles, begins, ends, strict=True)}
        for line in lines
    ]


def tasks(node: Node, service: str) -> list[Row]:
    """The tasks of a service that shall run and do."""
    rows = table(type_in(node, f"docker service ps --no-trunc {service}"))
    return [row for row in rows if row["DESIRED STATE"] == "Running" and row["CURRENT STATE"].startswith("Running")]


def wait_for_replicas(node: Node, service: str, replicas: str) -> Row:
    """Wait until `docker service ls` shows so many replicas of the service."""

    def look() -> Done[Row] | NotYet:
        rows = {row["NAME"]: row for row in table(type_in(node, "docker service ls"))}
        row = rows.get(service, {})
        return Done(row) if row.get("REPLICAS") == replicas else NotYet(str(row))

    return wait_until(look, what=f"{replicas} replicas of {service}", timeout=SETTLE_SECONDS)


def wait_for_manager_status(node: Node, name: str, *wanted: str) -> None:
    """Wait until `docker node ls` shows one of the statuses for the node of this name."""

    def look() -> Done[None] | NotYet:
        rows = table(type_in(node, "docker node ls"))
        status = next(row["MANAGER STATUS"] for row in rows if row["HOSTNAME"] == name)
        return Done(None) if status in wanted else NotYet(repr(status))

    wait_until(look, what=f"{name} to be one of {wanted}", timeout=SETTLE_SECONDS)


def blocked_seconds(answer: str) -> float:
    """How long the sample service waited: it answers two times, `received,replied`, in RFC 3339."""
    received, replied = map(datetime.datetime.fromisoformat, answer.split(","))
    return (replied - received).total_seconds()


@contextmanager
def apache_bench(node: Node, address: str, users: int, requests: int) -> Iterator[Future[list[str]]]:
    """`ab -id -c users -n requests` by curl, which every node has: HEAD requests, a connection for each.

    The result is each request's HTTP status, "000" for one that got no answer; it is there when the block ends.
    """
    line = (
        f"{CURL} --head --output /dev/null --write-out '%{{http_code}}\\n' "
        f"--parallel --parallel-immediate --parallel-max {users} http://{address}:8080/?[1-{requests}]"
    )
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(lambda: answer_to(node, line).output.split())


def wait_until_asked(node: Node, requests: int) -> None:
    """Wait until so many connections lead to the published port of the node."""

    def look() -> Done[None] | NotYet:
        line = f"conntrack -L -p tcp --orig-dst {node.address} --dport 8080 --state ESTABLISHED"
        connections = answer_to(node, line).output.splitlines()
        return Done(None) if len(connections) >= requests else NotYet(f"{len(connections)} connections")

    wait_until(look, what=f"{requests} requests", timeout=SETTLE_SECONDS, interval=0.02)


def only_running_on(node: Node, service: str, names: Sequence[str]) -> Done[None] | NotYet:
    """Whether all tasks of the service run on nodes of these names."""
    strays = [row for row in tasks(node, service) if row["NODE"] not in names]
    return NotYet(str(strays)) if strays else Done(None)
