"""What a failed test leaves of its cluster to read: taken from a real one, with one node down."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.failure_archive import take
from pytest_swarm.service import Service

pytestmark = pytest.mark.cluster


def test_the_archive_shows_logs_rules_names_and_the_consensus(
    swarm: Cluster, deploy: Callable[..., Service], tmp_path: Path
) -> None:
    web = deploy(replicas=2)

    with swarm.pause(swarm.nodes[-1]):
        archive = take(swarm, "test_it", tmp_path)

    with tarfile.open(archive.path) as tar:
        files = {
            member.name.partition("/")[2]: tar.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in tar.getmembers()
        }
    first = swarm.nodes[0].name
    assert "dockerd" in files[f"{first}/processes.txt"]
    assert files[f"{first}/node.log"]
    assert files[f"{first}/dockerd.log"]
    assert "table ip" in files[f"{first}/nftables.txt"]
    tasks = json.loads(files["swarm/tasks.json"])
    assert sum(task["ServiceID"] == web.id for task in tasks) == 2
    assert "create" in {json.loads(line)["Action"] for line in files["swarm/events.jsonl"].splitlines()}
    assert "n4 paused" in {each["name"] for each in json.loads(files["swarm/timeline.json"])}
    assert any(line.startswith(f"{swarm.nodes[-1].name}/") for line in archive.missing)
    if swarm.engine.name == "orchestrator":
        views = [json.loads(files[f"{node.name}/swarm.json"]) for node in swarm.nodes[: swarm.managers]]
        assert sum(view["consensus"]["leads"] for view in views) == 1
        assert {service["service_name"] for view in views for service in view["network"]["services"]} >= {"web"}
        assert "leads in term" in archive.digest
