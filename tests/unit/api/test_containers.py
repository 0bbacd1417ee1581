"""Containers started by hand on the cluster's networks, just created ones too."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.api import carried_networks
from orchestrator.api.backend import LocalNode, LocalNodeState
from orchestrator.model.network import AttachedNetwork, NetworkConfiguration
from orchestrator.model.resolver_settings import ResolverSettings
from orchestrator.testing.cluster_backend import FakeLifecycle, cluster_of_one
from tests.unit.api.client import Api, manager, run
from tests.unit.api.networks_engine import Engine, create

ATTACHED = AttachedNetwork("n" * 25, "webnet", "10.0.1.0/24", 4097, "10.0.1.2", attachable=True)
WORKER = LocalNode(LocalNodeState.ACTIVE, "w" * 25)


class ContainerEngine(Engine):
    """Also creates containers, and notes what they were to be."""

    def __init__(self) -> None:
        super().__init__()
        self.created: list[Mapping[str, Any]] = []

    def _answer(self, method: str, path: str, params: Mapping[str, str], body: Mapping[str, Any] | None) -> Any:
        if path == "/containers/create":
            self.created.append(body or {})
            return {"Id": "c" * 64, "Warnings": []}
        return super()._answer(method, path, params, body)

    async def resolver_file(self, settings: ResolverSettings) -> str:
        return f"/resolvers/{settings.nameservers[0]}"


def run_on(api: Api, network: str) -> Any:
    return api.call("POST", "/containers/create", {"Image": "i", "HostConfig": {"NetworkMode": network}})


@pytest.mark.parametrize("text", ["webnet", "id"])
def test_a_network_just_created_is_waited_for(text: str) -> None:
    engine, lifecycle = ContainerEngine(), manager(cluster_of_one())

    async def scenario(api: Api) -> None:
        network_id = await create(api, "webnet", Attachable=True)
        running = asyncio.create_task(run_on(api, network_id if text == "id" else text))
        await asyncio.sleep(2 * carried_networks._POLL_INTERVAL_S)
        assert engine.created == []
        lifecycle.network_configuration = NetworkConfiguration(networks=(replace(ATTACHED, network_id=network_id),))
        engine.share(network_id, "webnet")
        assert (await running)[0] == 201
        (body,) = engine.created
        assert body["HostConfig"]["NetworkMode"] == "webnet"
        assert [mount["Source"] for mount in body["HostConfig"]["Mounts"]] == ["/resolvers/10.0.1.2"]

    run(scenario, lifecycle=lifecycle, engine=engine)


def test_a_worker_waits_for_what_it_may_not_have_heard_of() -> None:
    engine, lifecycle = ContainerEngine(), FakeLifecycle(local=WORKER)

    async def scenario(api: Api) -> None:
        running = asyncio.create_task(run_on(api, "webnet"))
        await asyncio.sleep(2 * carried_networks._POLL_INTERVAL_S)
        assert engine.created == []
        lifecycle.network_configuration = NetworkConfiguration(networks=(ATTACHED,))
        engine.share(ATTACHED.network_id, "webnet")
        assert (await running)[0] == 201
        assert engine.created[0]["HostConfig"]["Mounts"]

    run(scenario, lifecycle=lifecycle, engine=engine)


def test_what_nobody_has_is_left_to_the_engine_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried_networks, "UNHEARD_DEADLINE_S", 0.1)
    for lifecycle in (FakeLifecycle(), FakeLifecycle(local=WORKER), manager(cluster_of_one())):
        engine = ContainerEngine()

        async def scenario(api: Api, engine: ContainerEngine = engine) -> None:
            assert (await run_on(api, "nowhere"))[0] == 201
            assert engine.created == [{"Image": "i", "HostConfig": {"NetworkMode": "nowhere"}}]

        run(scenario, lifecycle=lifecycle, engine=engine)


@pytest.mark.parametrize(("address", "expected"), [("10.0.1.250", 201), ("10.0.1.7", 400), ("x", 201), ("", 201)])
def test_a_chosen_address_is_one_of_the_nodes_own(address: str, expected: int) -> None:
    engine, lifecycle = ContainerEngine(), manager(cluster_of_one())

    async def scenario(api: Api) -> None:
        network_id = await create(api, "webnet", Attachable=True)
        attached = replace(ATTACHED, network_id=network_id, attachment_range="10.0.1.248/29")
        lifecycle.network_configuration = NetworkConfiguration(networks=(attached,))
        engine.share(network_id, "webnet")
        for text in ("webnet", network_id):
            endpoints = {text: {"IPAMConfig": {"IPv4Address": address}}}
            body = {"Image": "i", "NetworkingConfig": {"EndpointsConfig": endpoints}}
            assert (await api.call("POST", "/containers/create", body))[0] == expected

    run(scenario, lifecycle=lifecycle, engine=engine)


def test_a_network_for_services_alone_is_refused() -> None:
    engine = ContainerEngine()

    async def scenario(api: Api) -> None:
        await create(api, "closed")
        status, answer = await run_on(api, "closed")
        assert (status, "network closed not manually attachable" in answer["message"]) == (403, True)
        assert engine.created == []
        # The engine's own, and those every engine has, are none of ours.
        for network in ("mine", "bridge", "host"):
            assert (await run_on(api, network))[0] == 201

    run(scenario, engine=engine)
