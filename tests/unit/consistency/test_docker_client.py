"""What an answer of the API means for a history."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

import pytest

from tests.consistency.docker_client import DockerClient, replicas_for
from tests.consistency.history import Action, Outcome, Refusal
from tests.consistency.workload import CONFIG, SERVICE, Answer, Wish

NO_LEADER = (500, '{"message": "rpc error: code = Unknown desc = The swarm does not have a leader."}')
ANSWERS = {
    "done": (201, "{}"),
    "seen": (200, '{"Version": {"Index": 7}, "Spec": {"Labels": {"value": "a"}}}'),
    "unknown": (404, '{"message": "config x not found"}'),
    "taken": (409, '{"message": "already exists"}'),
    "stale": (500, '{"message": "rpc error: code = Unknown desc = update out of sequence"}'),
    "no-leader": NO_LEADER,
    "lost": (503, '{"message": "node lost leader status"}'),
    "bad": (400, '{"message": "no"}'),
}


class Handler(BaseHTTPRequestHandler):
    """Answers by the last word of the path; `drop` closes the connection instead."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        word = next((word for word in ANSWERS if f"/{word}" in self.path or word == self.server.creates), "")  # type: ignore[attr-defined]
        if not word:
            self.close_connection = True
            return
        status, body = ANSWERS[word]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Quietly."""


class Server(ThreadingMixIn, UnixStreamServer):
    """On a unix socket; `creates` names the answer to a creation, whose path has no name."""

    daemon_threads = True
    creates = ""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(str(tmp_path / "docker.sock"), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[DockerClient]:
    client = DockerClient(Path(str(server.server_address)))
    yield client
    client.close()


def wish(action: Action, name: str) -> Wish:
    return Wish(CONFIG, name, action, "c.1", "c.0", 3)


@pytest.mark.parametrize(("name", "value", "version"), [("seen", "a", 7), ("unknown", None, None)])
def test_reads(client: DockerClient, name: str, value: str | None, version: int | None) -> None:
    answer = client.ask(wish(Action.READ, name))
    assert (answer.outcome, answer.value, answer.version) == (Outcome.OK, value, version)


@pytest.mark.parametrize("name", ["no-leader", "lost", "drop", "bad"])
def test_a_read_without_an_answer_tells_nothing(client: DockerClient, name: str) -> None:
    answer = client.ask(wish(Action.READ, name))
    assert (answer.outcome, answer.refusal) == (Outcome.FAIL, Refusal.NOT_SERVED)


@pytest.mark.parametrize(
    ("name", "outcome", "refusal"),
    [
        ("done", Outcome.OK, None),
        ("unknown", Outcome.FAIL, Refusal.ABSENT),
        ("stale", Outcome.FAIL, Refusal.STALE),
        ("bad", Outcome.FAIL, Refusal.NOT_SERVED),
        ("no-leader", Outcome.INFO, None),
        ("lost", Outcome.INFO, None),
        ("drop", Outcome.INFO, None),
    ],
)
@pytest.mark.parametrize("action", [Action.UPDATE, Action.REMOVE])
def test_changes(client: DockerClient, action: Action, name: str, outcome: Outcome, refusal: Refusal | None) -> None:
    answer = client.ask(wish(action, name))
    assert (answer.outcome, answer.refusal) == (outcome, refusal)


@pytest.mark.parametrize(("name", "outcome"), [("done", Outcome.OK), ("taken", Outcome.FAIL), ("lost", Outcome.INFO)])
def test_creations(server: Server, client: DockerClient, name: str, outcome: Outcome) -> None:
    server.creates = name
    assert client.ask(wish(Action.CREATE, "x")).outcome is outcome


def test_where_nobody_listens_nothing_was_done(tmp_path: Path) -> None:
    client = DockerClient(tmp_path / "docker.sock")
    absent = client.ask(wish(Action.REMOVE, "x"))
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(tmp_path / "docker.sock"))
    refused = client.ask(wish(Action.REMOVE, "x"))
    client.close()
    assert [(answer.outcome, answer.refusal) for answer in (absent, refused)] == [
        (Outcome.FAIL, Refusal.NOT_SERVED)
    ] * 2


def test_a_service_that_was_not_scaled_as_its_label_says_is_no_known_value(
    server: Server, client: DockerClient
) -> None:
    ANSWERS["scaled"] = (200, '{"Spec": {"Labels": {"value": "c.2"}, "Mode": {"Replicated": {"Replicas": 2}}}}')
    assert client.ask(Wish(SERVICE, "scaled", Action.READ)) == Answer(Outcome.OK, value="c.2")
    assert replicas_for("c.2") == 2
    ANSWERS["scaled"] = (200, ANSWERS["scaled"][1].replace('"Replicas": 2', '"Replicas": 1'))
    assert client.ask(Wish(SERVICE, "scaled", Action.READ)).value == "c.2 with 1 replicas"
