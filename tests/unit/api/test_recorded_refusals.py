"""What Docker 26.1.5 refused in a recorded session of its CLI is refused by ours with the same status and words.

`recorded_refusals.json` has each such request as the CLI made it, where the session had come to, and the answer; names
with a `$` stand for ids, and `role` is that of the other two nodes. `tests/recorded` plays the whole session to a
cluster.
"""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

import pytest

from orchestrator.api.backend import LocalNode, LocalNodeState
from orchestrator.model.node import NodeRole
from orchestrator.testing.cluster_backend import FakeLifecycle, add_node, cluster_of_one
from tests.unit.api.client import Api, manager, run

REFUSALS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("recorded_refusals.json").read_text())
TOKEN = "SWMTKN-1-" + "3" * 50 + "-" + "w" * 25


def node_of(refusal: dict[str, Any]) -> tuple[FakeLifecycle, dict[str, str]]:
    """The node that was asked, in the cluster as it was; and the ids of its nodes."""
    if refusal["on"] == "no swarm":
        return FakeLifecycle(), {}
    if refusal["on"] == "worker":
        return FakeLifecycle(local=LocalNode(LocalNodeState.ACTIVE, "w" * 25)), {}
    backend = cluster_of_one()
    role = NodeRole(refusal.get("role", "worker"))
    return manager(backend), {name: add_node(backend, name, role) for name in ("n2", "n4")}


async def set_up(api: Api) -> dict[str, str]:
    """What the session had created; returns the ids by name."""
    _, network = await api.call("POST", "/networks/create", {"Name": "webnet", "Driver": "overlay"})
    _, secret = await api.call("POST", "/secrets/create", {"Name": "sec1", "Data": "czNjcmV0"})
    reference = {"SecretID": secret["ID"], "SecretName": "sec1", "File": {"Name": "sec1", "UID": "0", "GID": "0"}}
    ids = {"webnet": network["Id"]}
    ids["web"] = await api.create(EndpointSpec={"Ports": [{"TargetPort": 8080, "PublishedPort": 8080}]})
    for name, container, networks in (("api", {}, [{"Target": "webnet"}]), ("s", {"Secrets": [reference]}, [])):
        template = {"ContainerSpec": {"Image": "docker-swarm-test:1", **container}, "Networks": networks}
        ids[name] = await api.create(Name=name, TaskTemplate=template)
    return ids


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal["command"].removeprefix("docker "))
def test_the_answer_is_the_recorded_one(refusal: dict[str, Any]) -> None:
    lifecycle, ids = node_of(refusal)

    async def scenario(api: Api) -> None:
        if lifecycle.backend is not None:
            ids.update(await set_up(api))
        names = {**ids, "version": api.backend.state.index, "token": TOKEN}
        asked = json.loads(Template(json.dumps(refusal)).substitute(names))
        index = api.backend.state.index

        answer = await api.call(asked["method"], asked["path"], asked.get("request"), params=asked["query"])

        assert answer == (asked["status"], {"message": asked["message"]})
        assert api.backend.state.index == index

    run(scenario, lifecycle=lifecycle)
