"""Events over HTTP: the engine's stream and the cluster's changes as one."""

import asyncio
import json
from typing import Any

import pytest

from orchestrator.model.node import Availability, NodeSpec, NodeState
from orchestrator.state import actions as act
from orchestrator.testing.cluster_backend import START, FakeEngineClient, FakeLifecycle, add_node, cluster_of_one
from tests.unit.api.client import Api, manager, run

LOCAL = b'{"Type":"container","Action":"start"}\n'


def told(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def past(filters: str = "") -> list[dict[str, Any]]:
    """All events of a small history, as `docker events --since --until` shows it."""
    backend = cluster_of_one()
    node_id = add_node(backend, "n2")
    node = backend.state.node(node_id)
    backend.apply(act.UpdateNodeSpec(node_id, node.version, NodeSpec(availability=Availability.DRAIN)))
    backend.apply(act.SetNodeState(node_id, NodeState.DOWN))
    backend.apply(act.RemoveNode(node_id))
    engine = FakeEngineClient()
    engine.stream_ends.set()
    events: list[dict[str, Any]] = []

    async def scenario(api: Api) -> None:
        params = {"since": str(START - 1), "until": str(START + 1), "filters": filters}
        answer = await api.response("GET", "/events", params=params)
        assert answer.status == 200
        events.extend(told(await answer.read()))

    run(scenario, lifecycle=manager(backend), engine=engine)
    return events


def test_the_past_is_told_with_what_changed() -> None:
    events = [event for event in past() if event["Type"] == "node" and event["Actor"]["Attributes"]["name"] == "n2"]
    assert [event["Action"] for event in events] == ["create", "update", "update", "remove"]
    assert events[1]["Actor"]["Attributes"] == {
        "name": "n2",
        "availability.old": "active",
        "availability.new": "drain",
    }
    assert events[2]["Actor"]["Attributes"] == {"name": "n2", "state.old": "ready", "state.new": "down"}
    assert (events[0]["scope"], events[0]["time"], events[0]["timeNano"]) == ("swarm", int(START), int(START * 10**9))


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ('{"type":["node"]}', 5),
        ('{"node":["n2"]}', 4),
        ('{"node":["n2"],"event":["remove"]}', 1),
        ('{"scope":["local"]}', 0),
        ('{"type":["network"],"event":["create"]}', 1),
        ('{"service":["n2"]}', 0),
        ('{"label":["name=n2"]}', 4),
    ],
)
def test_filters(filters: str, count: int) -> None:
    assert len(past(filters)) == count


def test_both_streams_flow_as_one() -> None:
    engine = FakeEngineClient(lines=[LOCAL])

    async def scenario(api: Api) -> None:
        answer = await api.stream("/events")
        assert await answer.content.readline() == LOCAL
        service_id = await api.create()
        created = json.loads(await answer.content.readline())
        assert (created["Type"], created["Action"], created["Actor"]["ID"]) == ("service", "create", service_id)
        spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:2"}}}
        spec["Mode"] = {"Replicated": {"Replicas": 3}}
        version = api.backend.state.service(service_id).version
        assert (await api.response("POST", f"/services/{service_id}/update?version={version}", json=spec)).status == 200
        updated = json.loads(await answer.content.readline())
        assert updated["Actor"]["Attributes"] == {
            "name": "web",
            "image.old": "nginx:1",
            "image.new": "nginx:2",
            "replicas.old": "1",
            "replicas.new": "3",
        }
        engine.stream_ends.set()
        assert await answer.content.read() == b""

    run(scenario, engine=engine)


def test_a_worker_tells_its_engine_s_alone() -> None:
    engine = FakeEngineClient(lines=[LOCAL])
    engine.stream_ends.set()

    async def scenario(api: Api) -> None:
        answer = await api.response("GET", "/events", params={"since": "1"})
        assert await answer.read() == LOCAL
        assert engine.requests[-1][2] == {"since": "1"}

    run(scenario, lifecycle=FakeLifecycle(), engine=engine)


def test_nonsense_is_refused() -> None:
    async def scenario(api: Api) -> None:
        for params in ({"since": "yesterday"}, {"filters": "{"}):
            assert (await api.response("GET", "/events", params=params)).status == 400

    run(scenario)


def test_a_client_that_leaves_ends_the_stream() -> None:
    engine = FakeEngineClient(lines=[LOCAL])

    async def scenario(api: Api) -> None:
        answer = await api.stream("/events")
        await answer.content.readline()
        answer.close()
        await asyncio.sleep(0)

    run(scenario, engine=engine)
