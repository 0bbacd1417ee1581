"""Nodes over HTTP."""

import pytest

from orchestrator.model.node import NodeRole
from orchestrator.testing.cluster_backend import add_node, cluster_of_one
from tests.unit.api.client import Api, manager, run


def test_list_shows_the_leader_and_who_manages() -> None:
    backend = cluster_of_one()
    add_node(backend, "n2", NodeRole.MANAGER, "127.0.0.3")
    add_node(backend, "n3")

    async def scenario(api: Api) -> None:
        _, nodes = await api.call("GET", "/nodes")
        assert [node.get("ManagerStatus") for node in nodes] == [
            {"Leader": True, "Reachability": "reachable", "Addr": "127.0.0.1:2377"},
            {"Reachability": "reachable", "Addr": "127.0.0.3:2377"},
            None,
        ]
        assert nodes[2]["Spec"] == {"Labels": {}, "Role": "worker", "Availability": "active"}
        assert nodes[2]["Status"] == {"State": "ready", "Addr": "127.0.0.2"}
        assert nodes[2]["Description"]["Resources"] == {"NanoCPUs": 2 * 10**9, "MemoryBytes": 8 * 2**30}

    run(scenario, lifecycle=manager(backend))


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ('{"role":["manager"]}', ["n1"]),
        ('{"name":["n"]}', ["n1", "n2"]),
        ('{"membership":["accepted"]}', ["n1", "n2"]),
        ('{"membership":["pending"]}', []),
        ('{"node.label":["rack=1"]}', ["n2"]),
        ('{"label":["x"]}', []),
    ],
)
def test_filters(filters: str, found: list[str]) -> None:
    backend = cluster_of_one()
    add_node(backend, "n2")

    async def scenario(api: Api) -> None:
        spec = {"Role": "worker", "Availability": "active", "Labels": {"rack": "1"}}
        path = f"/nodes/n2/update?version={backend.state.index}"
        assert (await api.response("POST", path, json=spec)).status == 200
        _, nodes = await api.call("GET", "/nodes", params={"filters": filters})
        assert [node["Description"]["Hostname"] for node in nodes] == found

    run(scenario, lifecycle=manager(backend))


@pytest.mark.parametrize("filters", ['{"role":["boss"]}', '{"membership":["x"]}', '{"nope":["x"]}', "{"])
def test_bad_filters(filters: str) -> None:
    async def scenario(api: Api) -> None:
        status, _ = await api.call("GET", "/nodes", params={"filters": filters})
        assert status == 400

    run(scenario)


@pytest.mark.parametrize(
    ("query", "spec", "status", "message"),
    [
        ("", {}, 400, "invalid node version '': strconv.ParseUint: parsing \"\": invalid syntax"),
        ("?version=1", {"Role": "boss", "Availability": "active"}, 400, 'invalid Role: "boss"'),
        ("?version=1", {"Role": "manager", "Availability": "x"}, 400, 'invalid Availability: "x"'),
        ("?version=1", {"Role": "manager"}, 400, 'invalid Availability: ""'),
        (
            "?version=1",
            {"Role": "manager", "Availability": "drain"},
            500,
            "rpc error: code = Unknown desc = update out of sequence",
        ),
        (
            "?version=2",
            {"Role": "worker", "Availability": "active"},
            400,
            "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm",
        ),
    ],
)
def test_refused_updates(query: str, spec: dict[str, str], status: int, message: str) -> None:
    async def scenario(api: Api) -> None:
        assert await api.call("POST", f"/nodes/n1/update{query}", spec) == (status, {"message": message})

    run(scenario)


def test_remove_a_worker_by_force_only_while_it_is_up() -> None:
    backend = cluster_of_one()
    node_id = add_node(backend, "n2")

    async def scenario(api: Api) -> None:
        status, answer = await api.call("DELETE", "/nodes/n2")
        assert (status, answer["message"]) == (
            400,
            f"rpc error: code = FailedPrecondition desc = node {node_id} is not down and can't be removed",
        )
        assert (await api.response("DELETE", "/nodes/n2?force=1")).status == 200
        assert await api.call("GET", "/nodes/n2") == (404, {"message": "node n2 not found"})

    run(scenario, lifecycle=manager(backend))
