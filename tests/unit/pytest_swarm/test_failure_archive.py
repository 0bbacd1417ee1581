"""What is collected when a test has failed, and what is said of what cannot be had."""

from __future__ import annotations

import json
import tarfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pytest_swarm import failure_archive
from pytest_swarm.failure_archive import cut_to_size, digest, take
from pytest_swarm.phases import Operation

LEADING = {
    "leads": True,
    "leader": "10.0.0.1:2378",
    "term": 4,
    "first_index": 2,
    "last_index": 90,
    "applied_index": 88,
    "peers": [
        {"address": "10.0.0.2:2378", "connected": True, "answered": True, "match_index": 90},
        {"address": "10.0.0.3:2378", "connected": True, "answered": False, "match_index": 17},
    ],
}


class FakeApi:
    """Answers each path with itself, the consensus as a leader's."""

    base_url = "http://node"

    def get(self, url: str, timeout: float) -> Any:
        path = url.removeprefix(self.base_url)
        text = json.dumps({"consensus": LEADING}) if path == "/debug/swarm" else path
        return SimpleNamespace(ok=path != "/info", status_code=503, text=text)


class FakeContainer:
    def logs(self, **_: object) -> bytes:
        return b"first line\n" * 20 + b"last line\n"

    def exec_run(self, command: list[str]) -> tuple[int, bytes]:
        return 0, command[-1].encode()


def fake_cluster(*, engine: str = "orchestrator", down: bool = False) -> Any:
    api = FakeApi()
    node = SimpleNamespace(name="n1", is_down=down, container=FakeContainer(), client=SimpleNamespace(api=api))
    operations = [Operation("n1 killed", 1.0, float("inf"), is_fault=True)]
    return SimpleNamespace(
        nodes=[node], engine=SimpleNamespace(name=engine), api=api, booted_at=1.0, operations=operations
    )


def contents(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive.getmembers()
        }


def test_an_archive_has_each_node_s_logs_rules_and_view_and_the_swarm_s(tmp_path: Path) -> None:
    archive = take(fake_cluster(), "test_it.py::test_update[a/b]", tmp_path / "failures")

    assert archive.path == tmp_path / "failures" / "test_it.py_test_update_a_b.tar.gz"
    assert archive.missing == ()
    files = contents(archive.path)
    assert {f"n1/{name}" for name in failure_archive.COMMANDS} <= files.keys()
    assert files["n1/node.log"].endswith("last line\n")
    assert files["n1/info.json"] == "HTTP 503: /info"
    assert files["swarm/tasks.json"] == "/tasks"
    assert files["swarm/events.jsonl"].startswith("/events?since=1&until=")
    assert json.loads(files["swarm/timeline.json"]) == [
        {"name": "n1 killed", "started": 1.0, "finished": None, "is_fault": True}
    ]


def test_what_a_fault_keeps_away_is_named_and_the_rest_is_there(tmp_path: Path) -> None:
    archive = take(fake_cluster(down=True), "test_it", tmp_path)

    assert archive.missing == tuple(
        f"n1/{name}: a fault keeps its API away" for name in ("info.json", "containers.json", "swarm.json")
    )
    files = contents(archive.path)
    assert files["missing.txt"].splitlines() == list(archive.missing)
    assert "n1/node.log" in files


def test_docker_s_engine_is_not_asked_for_what_only_ours_has(tmp_path: Path) -> None:
    archive = take(fake_cluster(engine="docker"), "test_it", tmp_path)

    assert "n1/swarm.json" not in contents(archive.path)
    assert archive.missing == ()


def test_who_does_not_answer_in_time_holds_up_nothing(tmp_path: Path) -> None:
    cluster = fake_cluster()
    answer = threading.Event()
    cluster.nodes[0].container.logs = lambda **_: b"late" if answer.wait(10) else b""
    try:
        archive = take(cluster, "test_it", tmp_path, deadline=0.1)
    finally:
        answer.set()

    assert "n1/node.log: not within 0.1 s" in archive.missing
    assert "n1/node.log" not in contents(archive.path)


def test_of_what_is_too_long_the_end_stays() -> None:
    assert cut_to_size(b"0123456789", 10) == b"0123456789"
    assert cut_to_size(b"0123456789", 4) == b"[the first 6 of 10 bytes are cut off]\n6789"


def test_the_digest_says_who_leads_and_who_is_silent_and_how_the_logs_end() -> None:
    follower = {**LEADING, "leads": False, "leader": ""}
    text = digest(
        {
            "n1/node.log": "\n".join(map(str, range(20))),
            "n1/swarm.json": json.dumps({"consensus": LEADING}),
            "n2/swarm.json": json.dumps({"consensus": follower}),
            "n3/swarm.json": "HTTP 500: no",
            "n4/swarm.json": json.dumps({"consensus": None}),
        }
    )

    assert text.splitlines() == [
        "n1: leads in term 4, log 2-90, applied 88; "
        "peers: 10.0.0.2:2378 connected and answers, has 90, 10.0.0.3:2378 connected and silent, has 17",
        "n2: follows nobody in term 4, log 2-90, applied 88; peers: 10.0.0.2:2378 connected, 10.0.0.3:2378 connected",
        "n3: its answer about the consensus cannot be read",
        "n1: its log ends",
        *(f"  {number}" for number in range(12, 20)),
    ]
