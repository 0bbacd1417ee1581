"""Networks: the cluster's beside the engine's own."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from orchestrator.api.backend import LocalNode, LocalNodeState
from orchestrator.api.routes import is_swarm_path
from orchestrator.model.network import AttachedNetwork, NetworkConfiguration
from orchestrator.state.actions import Action
from orchestrator.testing.cluster_backend import FakeClusterBackend, FakeLifecycle, cluster_of_one
from tests.unit.api.client import IMAGE_SPEC, Api, manager, run
from tests.unit.api.networks_engine import LOCAL, Engine, create
from tests.unit.api.served import served


@pytest.mark.parametrize(
    ("path", "ours"),
    [("/networks", True), ("/v1.45/networks/create", True), ("/networks/a/connect", True), ("/networksx", False)],
)
def test_the_whole_tree_is_ours(path: str, ours: bool) -> None:
    assert is_swarm_path("GET", path) is ours


def test_an_overlay_network_is_the_clusters() -> None:
    async def scenario(api: Api) -> None:
        network_id = await create(api, "webnet", Attachable=True, Labels={"a": "b"})
        status, shown = await api.call("GET", "/networks/webnet")
        assert status == 200
        assert shown["Id"] == network_id
        assert (shown["Scope"], shown["Driver"], shown["Attachable"]) == ("swarm", "overlay", True)
        assert shown["IPAM"]["Config"] == [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}]
        assert shown["Options"] == {"com.docker.network.driver.overlay.vxlanid_list": "4097"}
        assert shown["Labels"] == {"a": "b"}
        assert [n["Name"] for n in (await api.call("GET", "/networks"))[1]] == ["mine", "ingress", "webnet"]
        assert (await api.call("DELETE", f"/networks/{network_id[:10]}"))[0] == 204
        assert (await api.call("GET", "/networks/webnet"))[0] == 404

    run(scenario, engine=Engine())


def test_other_networks_are_the_engines() -> None:
    engine = Engine()

    async def scenario(api: Api) -> None:
        body = {"Name": "two", "Driver": "bridge", "Anything": [1]}
        assert await api.call("POST", "/networks/create", body) == (201, {"Id": "e" * 64, "Warning": ""})
        assert engine.requests[-1][3] == body
        assert (await api.call("GET", "/networks/mine"))[1] == LOCAL
        assert (await api.call("POST", "/networks/mine/connect", {"Container": "c"}))[0] == 200
        assert (await api.call("DELETE", "/networks/mine"))[0] == 204
        assert (await api.call("DELETE", "/networks/none"))[0] == 404

    run(scenario, engine=engine)


def test_without_a_cluster_an_overlay_network_is_refused() -> None:
    async def scenario(api: Api) -> None:
        status, answer = await api.call("POST", "/networks/create", {"Name": "n", "Driver": "overlay"})
        assert (status, "not a swarm manager" in answer["message"]) == (503, True)
        assert [n["Name"] for n in (await api.call("GET", "/networks"))[1]] == ["mine"]

    run(scenario, lifecycle=FakeLifecycle(), engine=Engine())


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"Name": "webnet"}, 409, "network with name webnet already exists"),
        ({"Name": "mine"}, 409, "network with name mine already exists"),
        ({"Name": "host"}, 403, "operation is not permitted on predefined host network"),
        ({"Name": ""}, 400, "name must be provided"),
        ({"Name": "a b"}, 400, "name must be valid as a DNS name component"),
        ({"Name": "n", "Ingress": True}, 409, "is already present"),
        ({"Name": "n", "Ingress": True, "Attachable": True}, 400, "ingress network cannot be attachable"),
        ({"Name": "n", "EnableIPv6": True}, 400, "IPv4 only"),
        ({"Name": "n", "Options": {"encrypted": ""}}, 400, "encrypted overlay networks are not supported"),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.0.0.128/25"}]}}, 403, "Pool overlaps with other one on this"),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.7.0.1/24"}]}}, 400, "it should be 10.7.0.0/24"),
        ({"Name": "n", "IPAM": {"Config": [{"Subnet": "x"}]}}, 400, "invalid CIDR block notation"),
        (
            {"Name": "n", "IPAM": {"Config": [{"Subnet": "10.7.0.0/24", "Gateway": "10.8.0.1"}]}},
            400,
            "no matching subn",
        ),
        (
            {"Name": "n", "IPAM": {"Config": [{"Subnet": "10.7.0.0/24", "AuxiliaryAddresses": {"a": "10.8.0.1"}}]}},
            400,
            "no matching subnet for aux-address 10.8.0.1",
        ),
        (
            {"Name": "n", "IPAM": {"Config": [{"Subnet": "10.7.0.0/24", "AuxiliaryAddresses": {"a": "x"}}]}},
            400,
            "invalid auxiliary address x",
        ),
    ],
)
def test_what_cannot_be_is_refused(body: dict[str, Any], status: int, message: str) -> None:
    async def scenario(api: Api) -> None:
        await create(api, "webnet")
        answer = await api.call("POST", "/networks/create", {"Driver": "overlay", **body})
        assert (answer[0], message in answer[1]["message"]) == (status, True), answer

    run(scenario, engine=Engine())


def slow_cluster() -> FakeClusterBackend:
    """Whoever asks at the same moment looks at the same state before anything is committed."""
    backend = cluster_of_one()
    commit = backend.propose

    async def propose(actions: Sequence[Action]) -> None:
        await asyncio.sleep(0.01)
        await commit(actions)

    backend.propose = propose  # type: ignore[method-assign]
    return backend


def test_networks_that_are_created_at_the_same_moment_get_subnets_of_their_own() -> None:
    async def scenario(api: Api) -> None:
        await asyncio.gather(*(create(api, f"n{number}") for number in range(8)))
        made = [network for network in api.backend.state.networks.values() if not network.ingress]
        assert sorted(network.subnet for network in made) == [f"10.0.{number}.0/24" for number in range(1, 9)]
        assert len({network.vni for network in made}) == 8

    run(scenario, lifecycle=manager(slow_cluster()), engine=Engine())


def test_of_networks_that_want_the_same_subnet_at_the_same_moment_one_gets_it() -> None:
    async def scenario(api: Api) -> None:
        wanted = {"Driver": "overlay", "IPAM": {"Config": [{"Subnet": "10.7.0.0/24"}]}}
        answers = await asyncio.gather(
            *(api.call("POST", "/networks/create", {"Name": f"n{number}", **wanted}) for number in range(2))
        )
        ((status, refused),) = [answer for answer in answers if answer[0] != 201]
        assert (status, refused["message"]) == (403, "Pool overlaps with other one on this address space")

    run(scenario, lifecycle=manager(slow_cluster()), engine=Engine())


@pytest.mark.parametrize(("target", "status"), [("mine", 403), ("none", 404), ("ingress", 400), ("host", 501)])
def test_services_join_cluster_networks_alone(target: str, status: int) -> None:
    async def scenario(api: Api) -> None:
        template = {**IMAGE_SPEC["TaskTemplate"], "Networks": [{"Target": target}]}
        answer = await api.call("POST", "/services/create", {**IMAGE_SPEC, "TaskTemplate": template})
        assert answer[0] == status, answer

    run(scenario, engine=Engine())


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"driver": ["overlay"]}, ["ingress", "webnet"]),
        ({"scope": ["local"]}, ["mine"]),
        ({"name": ["web"]}, ["webnet"]),
        ({"label": ["a=b"]}, ["webnet"]),
        ({"label": ["a=c"]}, []),
        ({"type": ["builtin"]}, []),
        ({"dangling": ["true"]}, ["webnet"]),
    ],
)
def test_filters(filters: dict[str, list[str]], names: list[str]) -> None:
    async def scenario(api: Api) -> None:
        await create(api, "webnet", Labels={"a": "b"})
        found = (await api.call("GET", f"/networks?filters={json.dumps(filters)}"))[1]
        # What the engine filters is the engine's.
        assert [n["Name"] for n in found if n["Name"] != "mine" or "scope" in filters] == names

    run(scenario, engine=Engine())


def test_the_nodes_own_networks_are_refused_by_name_when_a_service_asks() -> None:
    async def scenario(api: Api) -> None:
        for name in ("host", "bridge"):
            status, answer = await api.call("GET", f"/networks/{name}?scope=swarm")
            assert (status, f"services on network {name} are not supported" in answer["message"]) == (501, True)

    run(scenario, engine=Engine())


def test_the_engines_name_comes_before_the_beginning_of_an_id_of_the_cluster() -> None:
    engine = Engine()

    async def scenario(api: Api) -> None:
        network_id = await create(api, "webnet")
        assert (await api.call("GET", f"/networks/{network_id[:2]}"))[1]["Name"] == "webnet"
        engine.shares["own"] = LOCAL | {"Name": network_id[:2], "Id": "a" * 64}
        assert (await api.call("GET", f"/networks/{network_id[:2]}"))[1]["Id"] == "a" * 64
        assert (await api.call("GET", f"/networks/{network_id[:2]}?scope=swarm"))[1]["Name"] == "webnet"
        assert (await api.call("DELETE", f"/networks/{network_id[:2]}"))[0] == 204
        assert engine.requests[-1][:2] == ("DELETE", f"/networks/{network_id[:2]}")
        assert (await api.call("GET", "/networks/webnet"))[0] == 200

    run(scenario, engine=engine)


def test_a_share_is_shown_as_the_network_it_is_of() -> None:
    engine = Engine()

    async def scenario(api: Api) -> None:
        network_id = await create(api, "webnet", Attachable=True)
        engine.share(network_id, "webnet", {"c1": {"Name": "web.1.x"}})
        assert [n["Name"] for n in (await api.call("GET", "/networks"))[1]] == ["mine", "ingress", "webnet"]
        for key in (network_id, "webnet", "0" * 64):
            shown = (await api.call("GET", f"/networks/{key}?verbose=true"))[1]
            assert (shown["Id"], shown["Containers"]) == (network_id, {"c1": {"Name": "web.1.x"}})
        assert "Services" not in shown
        assert (await api.call("GET", "/networks/webnet?scope=local"))[0] == 404

    run(scenario, engine=engine)


def test_containers_are_attached_to_attachable_networks_alone() -> None:
    engine = Engine()

    async def scenario(api: Api) -> None:
        engine.share(await create(api, "open", Attachable=True), "open")
        await create(api, "closed")
        body = {"Container": "c", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.0.1.250"}}}
        assert (await api.call("POST", "/networks/open/connect", body))[0] == 200
        assert engine.requests[-1][:2] == ("POST", f"/networks/{'0' * 64}/connect")
        body["EndpointConfig"] = {"IPAMConfig": {"IPv4Address": "10.0.1.7"}}
        assert (await api.call("POST", "/networks/open/connect", body))[0] == 400
        status, answer = await api.call("POST", "/networks/closed/connect", body)
        assert (status, "network closed not manually attachable" in answer["message"]) == (403, True)

    run(scenario, engine=engine)


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("create", b"", 201, None),
        ("create", b"{bad", 400, "invalid JSON: "),
        ("open/connect", b"", 400, "invalid JSON: got EOF while reading request body"),
        ("open/connect", b"{bad", 400, "invalid JSON: "),
        ("open/connect", b"[]", 400, "invalid JSON: not an object"),
        ("open/connect", b'{"EndpointConfig": 1}', 400, "invalid JSON: "),
        ("open/connect", b'{"EndpointConfig": {"IPAMConfig": {"IPv4Address": "x"}}}', 200, None),
    ],
)
def test_malformed_bodies_are_refused_or_handed_on(path: str, body: bytes, status: int, message: str | None) -> None:
    engine = Engine()

    async def scenario(api: Api) -> None:
        engine.share(await create(api, "open", Attachable=True), "open")
        headers = {"Content-Type": "application/json"}
        answer = await api.response("POST", f"/networks/{path}", data=body, headers=headers)
        assert answer.status == status
        if message is not None:
            assert message in (await answer.json())["message"]

    run(scenario, engine=engine)


def test_a_worker_sees_what_it_carries() -> None:
    attached = AttachedNetwork("n" * 25, "webnet", "10.0.1.0/24", 4097, "10.0.1.2", attachable=True, created_at=1.0)
    worker = FakeLifecycle(
        local=LocalNode(LocalNodeState.ACTIVE, "w" * 25),
        network_configuration=NetworkConfiguration(networks=(attached,)),
    )

    async def scenario(api: Api) -> None:
        assert [n["Name"] for n in (await api.call("GET", "/networks"))[1]] == ["mine", "webnet"]
        assert (await api.call("GET", "/networks/webnet"))[1]["Id"] == "n" * 25
        status, answer = await api.call("DELETE", "/networks/webnet")
        assert (status, "not a swarm manager" in answer["message"]) == (503, True)

    run(scenario, lifecycle=worker, engine=Engine())


def test_a_manager_that_does_not_lead_hands_on_what_it_cannot_know() -> None:
    lifecycle = manager(cluster_of_one())
    backend = lifecycle.backend
    assert backend is not None
    backend.is_leader = False

    async def scenario(api: Api) -> None:
        await api.call("POST", "/networks/create", {"Name": "n", "Driver": "overlay"})
        await api.call("GET", "/networks/n")
        await api.call("DELETE", "/networks/ingress")
        assert backend.forwarded == [
            ("POST", "/networks/create"),
            ("GET", "/networks/n"),
            ("DELETE", "/networks/ingress"),
        ]

    run(scenario, lifecycle=lifecycle, engine=Engine())


def test_docker_py_drives_networks(tmp_path: Path) -> None:
    lifecycle = FakeLifecycle()
    with served(lifecycle, tmp_path / "api.sock") as url:
        client = docker.DockerClient(base_url=url, timeout=10)
        client.swarm.init(advertise_addr="127.0.0.1")
        pool = IPAMConfig(
            pool_configs=[
                IPAMPool(
                    subnet="10.9.0.0/24",
                    gateway="10.9.0.9",
                    iprange="10.9.0.128/25",
                    aux_addresses={"nas": "10.9.0.130"},
                )
            ]
        )
        network = client.networks.create("webnet", driver="overlay", attachable=True, ipam=pool, labels={"x": "y"})
        assert network.attrs["IPAM"]["Config"] == [
            {
                "Subnet": "10.9.0.0/24",
                "Gateway": "10.9.0.9",
                "IPRange": "10.9.0.128/25",
                "AuxiliaryAddresses": {"nas": "10.9.0.130"},
            }
        ]
        assert client.api.inspect_network("webnet", scope="swarm")["Scope"] == "swarm"
        with pytest.raises(NotFound):
            client.api.inspect_network("webnet", scope="local")
        with pytest.raises(APIError) as refused:
            client.networks.create("webnet", driver="overlay")
        assert refused.value.response.status_code == 409
        client.api.remove_network("ingress")
        fresh = client.networks.create("mesh", driver="overlay", ingress=True)
        assert fresh.attrs["Ingress"] is True
        assert [n.name for n in client.networks.list(filters={"driver": "overlay"})] == ["webnet", "mesh"]
        network.remove()
        client.close()


def test_a_manager_without_a_leader_claims_nothing_about_the_networks_of_the_cluster() -> None:
    """They may have been made or removed since it last heard."""
    lifecycle = manager(cluster_of_one())
    assert lifecycle.backend is not None
    lifecycle.backend.has_leader = False
    carried = AttachedNetwork("n" * 25, "web", "10.0.9.0/24", 4097, "10.0.9.1")
    lifecycle.network_configuration = NetworkConfiguration(networks=(carried,))

    async def scenario(api: Api) -> None:
        answers = [
            await api.call("GET", "/networks/web"),
            await api.call("GET", "/networks/gone"),
            await api.call("POST", "/networks/create", {"Name": "web", "Driver": "overlay"}),
        ]
        assert [status for status, _ in answers] == [500] * 3
        assert all("does not have a leader" in answer["message"] for _, answer in answers)
        assert (await api.call("GET", "/networks/mine"))[0] == 200

    run(scenario, lifecycle=lifecycle, engine=Engine())
